import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { buildExample } from '../src/examples/example.ts';

// `ephemera try` on Debian's nginx, whose master process is root and drops its rights.

const run = promisify(execFile);
const client = join(import.meta.dirname, '../../../apps/cli/src/main.ts');

test('nginx of Debian needs one line beyond image and port', async () => {
  await buildExample('nginx');
  const args = [client, 'try', 'ephemera-examples/nginx', '--timeout', '30s'];
  const { stdout } = await run(process.execPath, args);
  const lines = stdout.split('\n').filter((line) => /^ {4}[a-zA-Z]/.test(line));
  // It serves without root and without a capability, if it may write its files.
  expect(lines.map((line) => line.trim().split(':')[0])).toEqual(['image', 'port', 'tmpfs']);
}, 900_000);
