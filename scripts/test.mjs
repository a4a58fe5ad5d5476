import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { prepare, root } from './prepare.mjs';
import { run } from './run.mjs';
import { forgetReports, sumReports } from './sum-reports.mjs';

const projects = ['apps', 'libs', 'tests']
  .flatMap((folder) => readdirSync(join(root, folder)).map((name) => join(root, folder, name)))
  .concat(join(root, 'scripts'));

const { node, env } = await prepare();
const prepared = await run(node, ['apps/cli/src/prepare-tests.ts'], { cwd: root, env });
if (prepared !== 0) {
  console.log('The machine could not be made ready for the tests.\n0 passed, 0 failed');
  process.exit(prepared);
}

forgetReports(projects);
// The daemon would outlive the run; the terminal UI would hide what the tests print.
const nxEnv = { ...env, NX_DAEMON: 'false', NX_TUI: 'false' };
const nx = ['run-many', '-t', 'test', '--parallel=1', '--output-style=stream'];
const code = await run('nx', [...nx, ...process.argv.slice(2)], { cwd: root, env: nxEnv });

const { passed, failed, skipped, faults } = sumReports(projects);
for (const fault of faults) console.log(`failed: ${fault}`);
if (skipped > 0) console.log(`${skipped} skipped`);
if (code !== 0 && failed === 0) console.log(`nx run-many ended with code ${code}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = code !== 0 || failed > 0 || passed === 0 ? 1 : 0;
