import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

import { startErrorOf, makeRunnable } from './pinned-node.mjs';

test('a Node that runs needs no change', () => {
  expect(startErrorOf(process.execPath)).toBeUndefined();
  makeRunnable(process.execPath);
});

test('a Node that does not run is reported', () => {
  expect(() => makeRunnable('/nowhere/node')).toThrow(/The pinned Node does not run: .*ENOENT/);
  expect(() => makeRunnable('/bin/false')).toThrow('The pinned Node does not run');
});

test('a binary whose loader is missing, as on Alpine, is reported', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-loader-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const node = join(folder, 'node');
  writeFileSync(node, '#!/nonexistent/ld-linux.so\n');
  chmodSync(node, 0o755);
  expect(() => makeRunnable(node)).toThrow('The pinned Node needs glibc');
});
