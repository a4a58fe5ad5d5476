import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

import { byPackage, changedPaths, readTree } from './file-tree.mjs';

test('finds files and links that were added, removed or changed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-tree-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, '@a/b'), { recursive: true });
  for (const name of ['@a/b/kept', '@a/b/changed', '@a/b/removed', 'skipped']) {
    writeFileSync(join(folder, name), 'x');
  }
  symlinkSync('kept', join(folder, '@a/b/link'));
  const isIncluded = (path) => path !== 'skipped';
  const before = readTree(folder, isIncluded);
  writeFileSync(join(folder, 'skipped'), 'y');
  writeFileSync(join(folder, '@a/b/changed'), 'y');
  writeFileSync(join(folder, 'added'), 'x');
  rmSync(join(folder, '@a/b/removed'));
  rmSync(join(folder, '@a/b/link'));
  symlinkSync('changed', join(folder, '@a/b/link'));
  const changes = changedPaths(before, readTree(folder, isIncluded));
  expect(changes).toEqual(['~ @a/b/changed', '~ @a/b/link', '- @a/b/removed', '+ added']);
  expect(byPackage(changes)).toEqual(['~ @a/b (2 files)', '- @a/b (1 file)', '+ added (1 file)']);
});
