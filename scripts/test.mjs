/**
 * `npm test [-- --quick] [NX ARGUMENTS]`. With `--quick` the tests run that vitest.config.ts selects:
 * units, contracts, and one end-to-end file per capability. Arguments for Nx, such as
 * `--projects=@ephemera/worker`, select projects.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { prepare, root } from './prepare.mjs';
import { run } from './run.mjs';
import { forgetReports, sumReports } from './sum-reports.mjs';

/** These start whole deployments. They run last, because a broken library fails each of them. */
const SUITES = ['e2e', 'adversary', 'compose', 'faults'].map((name) => `@ephemera/test-${name}`);

const projects = ['apps', 'libs', 'tests']
  .flatMap((folder) => readdirSync(join(root, folder)).map((name) => join(root, folder, name)))
  .concat(join(root, 'scripts'));

const nxArgs = process.argv.slice(2).filter((arg) => arg !== '--quick');
const isQuick = process.argv.includes('--quick');

const { node, env } = await prepare();
const prepared = await run(node, ['apps/cli/src/prepare-tests.ts'], { cwd: root, env });
if (prepared !== 0) {
  console.log('The machine could not be made ready for the tests.\n0 passed, 0 failed');
  process.exit(prepared);
}

forgetReports(projects);
const nxEnv = {
  ...env,
  // The daemon would outlive the run, and the terminal UI would hide the output of the tests.
  ...{ NX_DAEMON: 'false', NX_TUI: 'false' },
  // A suite starts hundreds of processes of a few programs. The cache compiles each one once.
  NODE_COMPILE_CACHE: join(root, '.ephemera/cache/node'),
};
const nx = ['run-many', '-t', 'test', '--parallel=1', '--output-style=stream'];
const mode = isQuick ? ['--', '--mode=quick'] : [];
// Libraries first: a broken one fails every suite, and its own tests give the cause.
const phases =
  nxArgs.length > 0
    ? [nxArgs]
    : [[`--exclude=${SUITES.join(',')}`], [`--projects=${SUITES.join(',')}`]];
let code = 0;
for (const phase of phases) {
  const ended = await run('nx', [...nx, ...phase, ...mode], { cwd: root, env: nxEnv });
  code = code || ended;
}

const { passed, failed, skipped, faults } = sumReports(projects);
for (const fault of faults) console.log(`failed: ${fault}`);
if (skipped > 0) console.log(`${skipped} skipped`);
if (code !== 0 && failed === 0) console.log(`nx run-many ended with code ${code}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = code !== 0 || failed > 0 || passed === 0 ? 1 : 0;
