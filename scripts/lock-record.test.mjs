import { expect, test } from 'vitest';

import { fingerprint } from './lock-record.mjs';

const manifest = {
  name: 'x',
  scripts: { start: 'node a', test: 'node b' },
  dependencies: { koa: '3' },
};
const files = (change = {}) => [
  ['package.json', JSON.stringify({ ...manifest, ...change })],
  ['package-lock.json', '{}'],
];

test('the order of the files does not matter', () => {
  expect(fingerprint(files().reverse())).toBe(fingerprint(files()));
});

test.each([
  ['a description', { description: 'other' }],
  ['a script that neither installs nor starts', { scripts: { ...manifest.scripts, bench: 'x' } }],
])('%s leaves the record valid', (_, change) => {
  expect(fingerprint(files(change))).toBe(fingerprint(files()));
});

test.each([
  ['a dependency', { dependencies: { koa: '4' } }],
  ['an override', { overrides: { ejs: '6' } }],
  ['the start script', { scripts: { ...manifest.scripts, start: 'node z' } }],
  ['an install script', { scripts: { ...manifest.scripts, postinstall: 'x' } }],
])('%s invalidates the record', (_, change) => {
  expect(fingerprint(files(change))).not.toBe(fingerprint(files()));
});

test('every byte of the lock file counts', () => {
  const [first] = files();
  expect(fingerprint([first, ['package-lock.json', '{ }']])).not.toBe(fingerprint(files()));
});
