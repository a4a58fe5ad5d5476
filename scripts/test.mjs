/**
 * `npm test [-- --quick] [NX ARGUMENTS]` and `npm run test:full`. vitest.config.ts says which files
 * belong to each: `--quick` runs units, contracts, and one end-to-end file per capability;
 * `npm run test:full` (`--long`) runs what `npm test` leaves out, and then the suites of attacks and
 * faults at a moderate length. Arguments for Nx, such as `--projects=@ephemera/worker`, select
 * projects, with all their files.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { withNpm } from './npm-command.mjs';
import { prepare, root } from './prepare.mjs';
import { run } from './run.mjs';
import { forgetReports, sumReports } from './sum-reports.mjs';

const E2E = ['@ephemera/test-e2e'];
/** Its slow clients get only unused CPU time, so no other test runs beside it. */
const ADVERSARY = ['@ephemera/test-adversary'];
/** Their tests have limits of a few hundred milliseconds, so nothing runs beside them. */
const TIMED = ['@ephemera/store', '@ephemera/proxy'];
/** They start containers, processes and whole deployments. */
const WAITING = ['worker', 'cli', 'test-compose', 'test-faults'].map((name) => `@ephemera/${name}`);
/** Runs two test files at a time, also where the test script of a project runs one. */
const TWO_FILES = ['--fileParallelism', '--maxWorkers=2'];

/**
 * One run of Nx: the names of the projects, or with `except` those that it leaves out; how many
 * projects run at a time; arguments for Vitest.
 *
 * @typedef {{ only?: string[], except?: string[], parallel?: number, vitest?: string[] }} Part
 */

/**
 * The parts of a phase run at the same time, the phases one after another. Libraries come first: a
 * broken one fails every suite, and its own tests give the cause. On two cores the longer end-to-end
 * tests miss their deadlines beside others.
 *
 * @type {Part[][]}
 */
const USUAL = [
  [{ except: [...E2E, ...ADVERSARY, ...TIMED, ...WAITING], parallel: 2 }],
  [{ only: TIMED }],
  [{ only: E2E }],
  [{ only: WAITING }],
  [{ only: ADVERSARY }],
];
/** @type {Part[][]} */
const QUICK = [
  [
    { only: E2E, vitest: TWO_FILES },
    { except: E2E, parallel: 2 },
  ],
];

/** @type {Part[][]} */
const LONG = [[{ only: E2E }], [{ only: WAITING }], [{ only: ADVERSARY }]];

/**
 * Programs that `npm run test:full` starts after the tests, for a few minutes each. Their own commands
 * run them at full length.
 */
const ATTACKS = 'tests/adversary/src/main.ts';
const FAULTS = 'tests/faults/src/main.ts';
const MATRIX = 'tests/e2e/src/matrix/main.ts';
const SUITES = [
  [ATTACKS, 'fuzz', '--count', '20000'],
  [FAULTS, 'worker-killed', '--runs', '1'],
  [FAULTS, 'proxy-killed', '--runs', '1'],
  // The Docker Engines of Debian 12 and 13.
  [MATRIX, '--engines', 'bookworm,trixie', '--parts', 'main'],
];

const LENGTHS = {
  quick: { phases: QUICK, suites: [] },
  usual: { phases: USUAL, suites: [] },
  long: { phases: LONG, suites: SUITES },
};

const projects = ['apps', 'libs', 'tests']
  .flatMap((folder) => readdirSync(join(root, folder)).map((name) => join(root, folder, name)))
  .concat(join(root, 'scripts'));

const options = ['--quick', '--long'];
const nxArgs = process.argv.slice(2).filter((arg) => !options.includes(arg));
const length = process.argv.includes('--quick')
  ? 'quick'
  : process.argv.includes('--long')
    ? 'long'
    : 'usual';

const { node, env: prepared } = await prepare();
const env = withNpm(prepared);
const ready = await run(node, ['apps/cli/src/prepare-tests.ts'], { cwd: root, env });
if (ready !== 0) {
  console.log('The machine could not be made ready for the tests.\n0 passed, 0 failed');
  process.exit(ready);
}

forgetReports(projects);
const nxEnv = {
  ...env,
  // The daemon would outlive the run, and the terminal UI would hide the output of the tests.
  ...{ NX_DAEMON: 'false', NX_TUI: 'false' },
  // A suite starts hundreds of processes of a few programs. The cache compiles each one once.
  NODE_COMPILE_CACHE: join(root, '.ephemera/cache/node'),
};
const mode = nxArgs.length > 0 ? [] : [`--mode=${length}`];
const nx = (args, parallel, vitest = []) =>
  run(
    'nx',
    [
      ...['run-many', '-t', 'test', `--parallel=${parallel}`, '--output-style=stream', ...args],
      ...['--', ...mode, ...vitest],
    ],
    { cwd: root, env: nxEnv },
  );
let code = 0;
if (nxArgs.length > 0) code = await nx(nxArgs, 1);
else {
  for (const phase of LENGTHS[length].phases) {
    const ended = await Promise.all(
      phase.map(({ only, except, parallel = 1, vitest }) =>
        nx([only ? `--projects=${only}` : `--exclude=${except}`], parallel, vitest),
      ),
    );
    code = ended.find((exitCode) => exitCode !== 0) ?? code;
  }
}

const sums = sumReports(projects);
if (nxArgs.length === 0) {
  for (const suite of LENGTHS[length].suites) {
    const exitCode = await run(node, suite, { cwd: root, env });
    // A signal stops the whole run.
    if (exitCode > 128) process.exit(exitCode);
    if (exitCode === 0) sums.passed += 1;
    else {
      sums.failed += 1;
      sums.faults.push(`node ${suite.join(' ')}`);
    }
  }
}

const { passed, failed, skipped, faults } = sums;
for (const fault of faults) console.log(`failed: ${fault}`);
if (skipped > 0) console.log(`${skipped} skipped`);
if (code !== 0 && failed === 0) console.log(`nx run-many ended with code ${code}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = code !== 0 || failed > 0 || passed === 0 ? 1 : 0;
