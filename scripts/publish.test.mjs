import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { compileModules, copyDeclarations } from './publish/compile.mjs';
import { manifestOf } from './publish/manifest.mjs';
import { PACKAGES } from './publish/packages.mjs';

// How the packages for npm are made. tests/e2e/test/packages.test.ts installs and uses them.

const root = join(import.meta.dirname, '..');
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));
const [client, embed, cli] = PACKAGES;

function emptyFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-publish-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

test('a package lists what its code and its declarations import', () => {
  const modules = ['node:fs', 'ioredis', '@koa/router', 'rate-limiter-flexible/lib/x.js'];
  const { dependencies, peerDependencies, version } = manifestOf(
    embed,
    { modules, types: ['node:http', 'koa'] },
    undefined,
  );
  expect(Object.keys(dependencies)).toEqual([
    '@koa/router',
    '@types/koa',
    'ioredis',
    'koa',
    'rate-limiter-flexible',
  ]);
  const { ioredis } = readJson(join(root, 'libs/store/package.json')).dependencies;
  expect(dependencies.ioredis).toBe(`^${ioredis}`);
  expect(peerDependencies).toEqual({ '@types/node': '*' });
  expect(version).toBe(readJson(join(root, 'package.json')).version);
  expect(() => manifestOf(embed, { modules: ['left-pad'], types: [] }, undefined)).toThrow(
    'no package.json of the workspace lists left-pad',
  );
});

test('a provenance statement needs the repository, and a program has no exports', () => {
  const imported = { modules: [], types: [] };
  const { repository } = manifestOf(client, imported, 'https://github.com/o/r');
  expect(repository.url).toBe('git+https://github.com/o/r.git');
  expect(manifestOf(client, imported, undefined)).not.toHaveProperty('repository');
  expect(manifestOf(cli, imported, undefined)).not.toHaveProperty('exports');
  expect(manifestOf(cli, imported, undefined).bin).toEqual({
    ephemera: './dist/apps/cli/src/main.js',
  });
});

test('declarations import the workspace by relative paths, and only those in use are copied', () => {
  const from = emptyFolder();
  const to = emptyFolder();
  const files = {
    'libs/embed/src/index.d.ts':
      "import type { A } from '@ephemera/domain';\nexport * from './b.ts';\nexport type K = import('koa').Context;\n",
    'libs/embed/src/b.d.ts': "export type B = import('@ephemera/domain').A;\n",
    'libs/domain/src/index.d.ts': 'export type A = string;\n',
    'libs/store/src/index.d.ts': 'export {};\n',
  };
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(from, file)), { recursive: true });
    writeFileSync(join(from, file), text);
  }
  expect([...copyDeclarations('libs/embed/src/index.ts', from, to)]).toEqual(['koa']);
  const copied = (file) => readFileSync(join(to, file), 'utf8');
  expect(copied('libs/embed/src/index.d.ts')).toBe(
    "import type { A } from '../../domain/src/index.js';\nexport * from './b.js';\nexport type K = import('koa').Context;\n",
  );
  expect(copied('libs/embed/src/b.d.ts')).toContain("import('../../domain/src/index.js')");
  expect(copied('libs/domain/src/index.d.ts')).toBe('export type A = string;\n');
  expect(() => copied('libs/store/src/index.d.ts')).toThrow('ENOENT');
});

test('compiled modules keep what they run at their start, and the files that they read', async () => {
  const folder = emptyFolder();
  const imported = await compileModules('libs/embed/src/index.ts', folder);
  const compiled = (file) => readFileSync(join(folder, file), 'utf8');
  // It extends zod for the modules that describe routes.
  expect(compiled('libs/contract/src/openapi-zod.js')).toMatch(/^extendZodWithOpenApi\(/m);
  expect(compiled('libs/store/src/scripts/create.lua')).toContain('KEYS');
  expect(compiled('libs/worker/src/name-responder.ts')).toContain('respondToNames');
  expect([...imported]).toEqual(expect.arrayContaining(['koa', 'bullmq', 'dockerode']));
  expect([...imported].filter((name) => name.startsWith('@ephemera/'))).toEqual([]);
  // No part of the embedding library.
  expect(() => compiled('libs/dashboard/src/index.js')).toThrow('ENOENT');
});
