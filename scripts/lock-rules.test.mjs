import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { addressesIn, registriesIn, scriptViolations, violations } from './lock-rules.mjs';

const koa = { version: '3.3.0', integrity: 'sha512-a', funding: 'https://example.test/koa' };
const lockText = (packages) => JSON.stringify({ name: 'x', lockfileVersion: 3, packages });

test('a lock file without addresses passes; workspace folders and funding links do not count', () => {
  const packages = {
    '': { dependencies: { koa: '^3.0.0', typescript7: 'npm:typescript@7.0.2' } },
    'node_modules/@ephemera/cli': { resolved: 'apps/cli', link: true },
    'node_modules/koa': koa,
  };
  expect(violations('package-lock.json', lockText(packages))).toEqual([]);
});

test.each([
  'https://registry.example.test/koa/-/koa-3.3.0.tgz',
  'http://127.0.0.1:4873/koa.tgz',
  'git+ssh://git@example.test/koa.git#0a1b',
])('a package that is resolved to %s is refused', (resolved) => {
  const text = lockText({ 'node_modules/koa': { ...koa, resolved } });
  expect(violations('package-lock.json', text)).toEqual([
    expect.stringContaining(`packages > node_modules/koa > resolved: ${resolved}`),
  ]);
});

test('a package without an integrity hash is refused', () => {
  const text = lockText({ 'node_modules/koa': { version: '3.3.0' } });
  expect(violations('package-lock.json', text)).toEqual([
    'package-lock.json: node_modules/koa has no integrity hash.',
  ]);
});

test.each([
  'https://example.test/koa.tgz',
  'github:koajs/koa',
  'koajs/koa#v3',
  '//example.test/koa',
])('the dependency %s is refused', (koaFrom) => {
  expect(addressesIn({ dependencies: { koa: koaFrom } })).toEqual([
    `dependencies > koa: ${koaFrom}`,
  ]);
});

test('a package.json may name its repository, but no registry', () => {
  expect(violations('package.json', '{"repository":"https://example.test/e.git"}')).toEqual([]);
  const named = '{"publishConfig":{"registry":"https://registry.example.test"}}';
  expect(violations('libs/client/package.json', named)).toContain(
    'libs/client/package.json names a registry in publishConfig. Remove the field.',
  );
});

test('an .npmrc names no registry and carries no credential', () => {
  const lines = [
    'registry=https://r.example.test',
    '@ephemera:registry = https://r.example.test',
    '//r.example.test/:_authToken=x',
    '_auth=x',
  ];
  expect(registriesIn(['fund=false', ...lines, '# registry: none'].join('\n'))).toEqual(lines);
  expect(violations('apps/x/.npmrc', lines[0])).toHaveLength(1);
});

test('allowScripts denies each install script of the lock file, and names nothing else', () => {
  const lock = {
    packages: {
      'node_modules/nx': { hasInstallScript: true },
      'node_modules/a/node_modules/@b/c': { hasInstallScript: true },
      'node_modules/koa': {},
    },
  };
  expect(scriptViolations({ allowScripts: { nx: false, '@b/c': false } }, lock)).toEqual([]);
  expect(scriptViolations({ allowScripts: { nx: true, koa: false } }, lock)).toEqual([
    '@b/c has an install script. Add "@b/c": false to allowScripts.',
    'nx has an install script. Add "nx": false to allowScripts.',
    'allowScripts names koa, which has no install script here. Remove it.',
  ]);
});

test('no install script of this workspace runs', () => {
  const read = (file) => JSON.parse(readFileSync(join(import.meta.dirname, '..', file), 'utf8'));
  expect(scriptViolations(read('package.json'), read('package-lock.json'))).toEqual([]);
});
