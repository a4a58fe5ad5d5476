import { expect, test } from 'vitest';

import { parseInteger, parseSeconds } from './parameters.ts';

test('a duration is parsed to whole seconds', () => {
  expect(parseSeconds('--timeout')('1h30m')).toBe(5400);
});

test.each(['5', '-1s', '0s', '1500ms', 'soon'])('--timeout %s is refused', (timeout) => {
  expect(() => parseSeconds('--timeout')(timeout)).toThrow(`--timeout is "${timeout}"`);
});

test('a number must be within its bounds', () => {
  const parse = parseInteger('--proxies', 1, 99);
  expect(['1', '99'].map(parse)).toEqual([1, 99]);
  for (const text of ['0', '100', '-1', '1.5', '1e1', '0x1', ' 1', '', 'many']) {
    expect(() => parse(text)).toThrow(`--proxies is "${text}"; it must be a number from 1 to 99.`);
  }
});
