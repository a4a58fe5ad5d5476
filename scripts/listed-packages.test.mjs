import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { unlistedIn } from './listed-packages.mjs';

test('a package lists what of the workspace it imports, tests included', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-listed-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const manifest = {
    name: '@ephemera/kept',
    dependencies: { '@ephemera/domain': '1' },
    devDependencies: { '@ephemera/test-support': '1' },
  };
  mkdirSync(join(folder, 'src'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
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
