import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { packClient } from './pack-client.mjs';

const root = join(import.meta.dirname, '..');

test('a program outside the repository imports the packed client, with its types', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-pack-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const tarball = packClient(folder);
  const installed = join(folder, 'node_modules/@ephemera/client');
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  const { dependencies, private: isPrivate } = JSON.parse(
    readFileSync(join(installed, 'package.json'), 'utf8'),
  );
  expect(isPrivate).toBeUndefined();
  // What npm would install from the registry.
  for (const name of Object.keys(dependencies)) {
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');

  const program = `import { ConnectionError, createClient } from '@ephemera/client';
const client = createClient({ url: 'http://127.0.0.1:9', retries: 0 });
await client.stats().catch((error) => process.stdout.write(String(error instanceof ConnectionError)));`;
  writeFileSync(join(folder, 'program.js'), program);
  const output = execFileSync(process.execPath, ['program.js'], { cwd: folder, encoding: 'utf8' });
  expect(output).toBe('true');

  const typed = `import { createClient } from '@ephemera/client';
const client = createClient({ url: 'http://127.0.0.1:9' });
const id: string = (await client.create({ template: 'demo' })).id;
// @ts-expect-error: a number of seconds
await client.renew(id, { timeout: '1m' });`;
  writeFileSync(join(folder, 'typed.ts'), typed);
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024'];
  const libs = ['--lib', 'es2024,dom,esnext.disposable', '--types', ''];
  const compiler = join(root, 'node_modules/typescript7/bin/tsc');
  const args = [compiler, ...options, ...libs, 'typed.ts'];
  try {
    execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  } catch (error) {
    expect.fail(error.stdout);
  }
});
