import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

const root = join(import.meta.dirname, '..');

const manifest = (name, more) =>
  JSON.stringify({ name, version: '1.0.0', type: 'module', ...more });

/** A small workspace in which everything is used. */
const CLEAN = {
  'package.json': manifest('workspace', { workspaces: ['apps/*', 'libs/*', 'tests/*'] }),
  'apps/proxy/package.json': manifest('@ephemera/proxy-app', {
    dependencies: { '@ephemera/store': '1.0.0' },
  }),
  'apps/proxy/src/main.ts': "import { get } from '@ephemera/store';\nget();",
  'libs/store/package.json': manifest('@ephemera/store', { exports: { '.': './src/index.ts' } }),
  'libs/store/src/index.ts': "export { get } from './get.ts';",
  'libs/store/src/get.ts':
    'export interface Options { a?: string }\nexport const parse = () => 1;\nexport const get = (options?: Options) => [options, parse()];',
  'libs/store/src/get.test.ts': "import { parse } from './get.ts';\nparse();",
};

function findUnused(files) {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-unused-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(join(folder, dirname(file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  copyFileSync(join(root, 'knip.config.ts'), join(folder, 'knip.config.ts'));
  mkdirSync(join(folder, 'node_modules/@ephemera'), { recursive: true });
  symlinkSync('../../libs/store', join(folder, 'node_modules/@ephemera/store'));
  const args = [join(root, 'node_modules/knip/bin/knip.js'), '--reporter', 'compact'];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...args, '--no-config-hints'], {
    cwd: folder,
    encoding: 'utf8',
  });
  return { status, output: `${stdout}${stderr}` };
}

test('a workspace without unused code passes', () => {
  expect(findUnused(CLEAN)).toEqual({ status: 0, output: '' });
});

test('an unused file, export and dependency are each found, in the index of a library too', () => {
  const { status, output } = findUnused({
    ...CLEAN,
    'apps/proxy/package.json': manifest('@ephemera/proxy-app', {
      dependencies: { '@ephemera/store': '1.0.0', koa: '3.3.0' },
    }),
    'libs/store/src/index.ts': "export { get } from './get.ts';\nexport const inTheIndex = 1;",
    'libs/store/src/get.ts': `${CLEAN['libs/store/src/get.ts']}\nexport const inAFile = 1;\nexport type InAFile = 1;`,
    'libs/store/src/dead.ts': 'export const dead = 1;',
  });
  expect(status).toBe(1);
  for (const name of ['koa', 'inTheIndex', 'inAFile', 'InAFile', 'libs/store/src/dead.ts']) {
    expect(output).toContain(name);
  }
});
