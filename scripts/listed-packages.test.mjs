import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

import { missingFilesIn, unlistedIn } from './listed-packages.mjs';

function packageWith(manifest) {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-listed-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'src'));
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ name: '@ephemera/kept', ...manifest }),
  );
  return folder;
}

test('a package lists each package of the workspace that it imports, tests included', () => {
  const folder = packageWith({
    dependencies: { '@ephemera/domain': '1' },
    devDependencies: { '@ephemera/test-support': '1' },
  });
  writeFileSync(
    join(folder, 'src/kept.test.ts'),
    "import '@ephemera/test-support/contract';\nimport { a } from '@ephemera/domain';",
  );
  expect(unlistedIn(folder)).toEqual([]);
  writeFileSync(join(folder, 'src/stray.ts'), "import type { Keys } from '@ephemera/store';");
  expect(unlistedIn(folder)).toEqual([
    '@ephemera/kept imports @ephemera/store, and its package.json does not list it',
  ]);
});

test('every file that a package.json names exists', () => {
  const folder = packageWith({
    main: './src/index.ts',
    bin: { kept: './src/main.ts' },
    files: ['src', '!src/*.test.ts'],
    imports: { '#a': 'koa', '#b': './src/b.ts' },
    exports: {
      '.': { types: './src/index.ts', default: ['./src/index.ts', './src/old.ts'] },
      './pages/*': './src/pages/*.ts',
      './hidden': null,
    },
  });
  writeFileSync(join(folder, 'src/index.ts'), '');
  expect(missingFilesIn(folder)).toEqual([
    '@ephemera/kept names ./src/main.ts in "bin", and there is no such file',
    '@ephemera/kept names ./src/old.ts in "exports", and there is no such file',
    '@ephemera/kept names ./src/pages/*.ts in "exports", and there is no such file',
    '@ephemera/kept names ./src/b.ts in "imports", and there is no such file',
  ]);
  for (const file of ['main', 'old', 'b', 'pages/one']) {
    mkdirSync(join(folder, 'src/pages'), { recursive: true });
    writeFileSync(join(folder, `src/${file}.ts`), '');
  }
  expect(missingFilesIn(folder)).toEqual([]);
});
