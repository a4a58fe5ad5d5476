import { expect, test } from 'vitest';

import { readRequest } from './run.ts';

test('a timeout is sent in whole seconds, and what is not said is not sent', () => {
  expect(readRequest()).toEqual({});
  expect(readRequest('demo', '1h30m')).toEqual({ template: 'demo', timeout: 5400 });
});

test.each(['5', '-1s', '0s', '1500ms', 'soon'])('--timeout %s is refused', (timeout) => {
  expect(() => readRequest(undefined, timeout)).toThrow(`--timeout is "${timeout}"`);
});
