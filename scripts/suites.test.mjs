import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { root } from './prepare.mjs';

const programs = [
  'tests/faults/src/main.ts',
  'tests/faults/src/soak/main.ts',
  'tests/adversary/src/main.ts',
  'tests/bench/src/main.ts',
  'tests/e2e/src/cluster/main.ts',
  'tests/e2e/src/examples/main.ts',
  'tests/e2e/src/matrix/main.ts',
];

const run = (...args) => spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });

test.each(programs)('%s prints its help and starts nothing', (program) => {
  const { status, stdout, stderr } = run(join(root, program), '--help');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^Usage: npm run [\s\S]*--help/);
});

test.each(programs)('%s refuses unknown arguments with exit code 2', (program) => {
  const { status, stdout, stderr } = run(join(root, program), '--nonsense');
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toContain('nonsense');
  expect(stderr).not.toMatch(/^\s+at /m);
});
