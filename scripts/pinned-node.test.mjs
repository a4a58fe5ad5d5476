import { expect, test } from 'vitest';

import { faultOf, makeRunnable } from './pinned-node.mjs';

test('a Node that runs needs nothing', () => {
  expect(faultOf(process.execPath)).toBeUndefined();
  makeRunnable(process.execPath);
});

test('what cannot run says why', () => {
  expect(() => makeRunnable('/nowhere/node')).toThrow(/The pinned Node does not run: .*ENOENT/);
  expect(() => makeRunnable('/bin/false')).toThrow('The pinned Node does not run');
});
