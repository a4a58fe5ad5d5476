import { expect, test } from 'vitest';

import { isComplete } from './packages.mjs';

const koa = { version: '3.3.0', integrity: 'sha512-a' };
const wanted = {
  '': { version: '0.1.0' },
  'apps/cli': { version: '0.1.0' },
  'node_modules/@ephemera/cli': { resolved: 'apps/cli' },
  'node_modules/koa': koa,
  'node_modules/other-platform': { version: '1.0.0', integrity: 'sha512-b', optional: true },
};
const installed = {
  'node_modules/@ephemera/cli': { resolved: 'apps/cli' },
  'node_modules/koa': koa,
};

test('all that is wanted is there, but for what is meant for other platforms', () => {
  expect(isComplete(wanted, installed)).toBe(true);
});

test.each([
  ['nothing is installed, or the install was interrupted', {}],
  ['a package has another version', { 'node_modules/koa': { ...koa, version: '3.2.0' } }],
  ['a package has other bytes', { 'node_modules/koa': { ...koa, integrity: 'sha512-z' } }],
])('%s: stale', (_, change) => {
  const have = Object.keys(change).length === 0 ? {} : { ...installed, ...change };
  expect(isComplete(wanted, have)).toBe(false);
});
