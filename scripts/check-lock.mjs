import { execFile, execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import {
  inDebianRoot,
  makeDebianRoot,
  missingForDebian,
  removeDebianRoot,
} from './debian-root.mjs';
import { byPackage, changedPaths, readTree } from './file-tree.mjs';
import { currentFingerprint, writeRecord } from './lock-record.mjs';
import { prepare, root } from './prepare.mjs';

/**
 * Proves that `npm ci` and `npm start` work with each supported pair of Node and npm.
 *
 * For each pair, on fresh copies of the tracked files:
 * 1. `npm start -- --help` without install scripts: `npm ci` passes, and the pinned Node runs the
 *    command line. lock-smoke.mjs then uses each package that has an install script.
 * 2. The same with install scripts, in a network namespace without interfaces and with the packages
 *    from npm's cache: no install script needs a network. The files that the scripts changed are
 *    listed; none may be outside node_modules.
 * 3. `npm ci` in each other folder with a lock file, as the tests and the bench run it.
 *
 * For the pair of the Dockerfile, its own `npm ci` is proved as well.
 */
export const PAIRS = [
  { node: '18.20', npm: '9.2', isDebian: true },
  { node: '20', npm: '10.8' },
  { node: '22', npm: '10.9' },
  { node: '24', npm: '11.6' },
  { node: '20', npm: '11.19' },
  /** The image of the Dockerfile: Node 26 brings npm 11.19. */
  { node: '26', npm: '11.19', isDockerfile: true },
];

const STEP_TIMEOUT_MS = 20 * 60_000;
const DOCKERFILE_INSTALL = ['ci', '--omit=dev', '--omit=optional', '--no-audit', '--no-fund'];

/** @param {{node: string, npm: string, install: string, seconds: string, problem: string}[]} rows */
export function formatTable(rows) {
  const head = {
    node: 'node',
    npm: 'npm',
    install: 'npm ci',
    seconds: 'seconds',
    problem: 'failed',
  };
  const columns = Object.keys(head);
  const width = (column) => Math.max(...[head, ...rows].map((row) => row[column].length));
  const line = (row) => columns.map((column) => row[column].padEnd(width(column))).join('  ');
  return [head, ...rows].map((row) => line(row).trimEnd()).join('\n');
}

/** Whether `v20.19.5` is of the line `20`, or `10.8.3` of `10.8`. */
export const isOfLine = (version, line) => `${version.replace(/^v/, '')}.`.startsWith(`${line}.`);

/** The commands that run now. */
const running = new Set();

/** Runs a command. Rejects with the end of its output. */
function run(command, env = process.env) {
  return new Promise((resolve, reject) => {
    const options = { env, timeout: STEP_TIMEOUT_MS, maxBuffer: 1 << 28, encoding: 'utf8' };
    // In its own process group, so that it can be ended with all of its children.
    const child = execFile('setsid', command, options, (error, stdout, stderr) => {
      running.delete(child);
      if (error === null) return resolve(stdout);
      const output = `${stdout}\n${stderr}`.trim().split('\n').slice(-25).join('\n');
      reject(new Error(`${error.killed ? 'timed out' : `code ${error.code}`}: ${output}`));
    });
    running.add(child);
  });
}

/**
 * The npm that runs this script. `npm` alone would run on the pinned Node, which comes first on the
 * PATH of npm scripts and does not find the machine's global npm configuration.
 */
const machineNpm = process.env.npm_execpath?.endsWith('.js')
  ? [process.execPath, process.env.npm_execpath]
  : ['npm'];

/** The npm settings that are needed to reach the registry, without other npm configuration. */
async function registryEnv(work) {
  const config = async (key) => (await run([...machineNpm, 'config', 'get', key])).trim();
  const env = {
    npm_config_registry: await config('registry'),
    npm_config_cache: join(work, 'npm-cache'),
    npm_config_update_notifier: 'false',
    npm_config_audit: 'false',
  };
  const trusted = { npm_config_cafile: await config('cafile'), ...process.env };
  for (const key of ['npm_config_cafile', 'NODE_EXTRA_CA_CERTS']) {
    if (!existsSync(trusted[key] ?? '')) continue;
    env[key] = join(work, `${key}.crt`);
    copyFileSync(trusted[key], env[key]);
  }
  for (const [key, value] of Object.entries(process.env)) {
    if (/^(https?_proxy|no_proxy)$/i.test(key)) env[key] = value;
  }
  return env;
}

/** Installs Node and npm of a pair from the registry. The folder then contains `node` and `npm`. */
async function installPair({ node, npm }, folder) {
  const binary = `node-linux-${process.arch}`;
  const packages = [`${binary}@${node}`, `npm@${npm}`];
  const flags = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts'];
  mkdirSync(join(folder, 'bin'), { recursive: true });
  await run([...machineNpm, 'install', '--prefix', folder, ...flags, ...packages]);
  symlinkSync(join(folder, 'node_modules', binary, 'bin/node'), join(folder, 'bin/node'));
  symlinkSync(join(folder, 'node_modules/npm/bin/npm-cli.js'), join(folder, 'bin/npm'));
  return join(folder, 'bin');
}

/**
 * Folders below the root with a separate lock file. That of `npm run mutants` is only for the npm of
 * a contributor.
 */
function foldersWithLock() {
  const paths = ['*/package-lock.json', ':!scripts/mutants'];
  const listing = execFileSync('git', ['ls-files', '-z', ...paths], { cwd: root });
  return listing.toString().split('\0').filter(Boolean).map(dirname);
}

/** Copies the tracked files as they are in the working tree. */
function copyTracked(target) {
  const listing = execFileSync('git', ['ls-files', '-z'], { cwd: root, maxBuffer: 1 << 28 });
  for (const file of listing.toString().split('\0').filter(Boolean)) {
    if (lstatSync(join(root, file), { throwIfNoEntry: false }) === undefined) continue;
    cpSync(join(root, file), join(target, file), { verbatimSymlinks: true });
  }
}

/**
 * Proves one pair.
 *
 * @param {object} pair of PAIRS
 * @param {(command: string[], options?: {isOffline?: boolean}) => string[]} enter the command line
 *   that runs a command with the pair's Node and npm
 * @returns {Promise<{node: string, npm: string, seconds: number, problems: string[], changes: string[]}>}
 */
async function provePair(pair, { work, enter, path }) {
  const problems = [];
  const home = join(work, 'home');
  const [first, second] = [join(work, 'without-scripts'), join(work, 'with-scripts')];
  for (const folder of [home, first, second]) mkdirSync(folder);
  const registry = await registryEnv(dirname(work));
  const call = (folder, command, { env = {}, isOffline } = {}) => {
    const all = { PATH: path, HOME: home, LANG: 'C.UTF-8', ...registry, ...env };
    const settings = Object.entries(all).map(([key, value]) => `${key}=${value}`);
    return run(enter(['env', '-i', '-C', folder, ...settings, ...command], { isOffline }));
  };
  const attempt = async (what, action) => {
    try {
      return await action();
    } catch (error) {
      problems.push(`${what}: ${error.message}`);
      return undefined;
    }
  };

  const versions = [];
  for (const program of ['node', 'npm']) {
    const version = (await call(home, [program, '--version'])).trim();
    if (!isOfLine(version, pair[program])) problems.push(`${program} is ${version}`);
    versions.push(version.replace(/^v/, ''));
  }

  const pinned = (folder) => join(folder, `node_modules/node-linux-${process.arch}/bin/node`);
  const setUp = async (folder, options) => {
    const output = await call(folder, ['npm', 'start', '--', '--help'], options);
    if (!output.includes('ephemera up')) throw new Error(`no help was printed: ${output}`);
  };
  const smoke = (folder, node, ...args) =>
    call(folder, [node, 'scripts/lock-smoke.mjs', folder, ...args]);
  const source = (folder) => readTree(folder, (name) => name.split('/').at(-1) !== 'node_modules');
  const modules = (folder) =>
    readTree(join(folder, 'node_modules'), (name) => name !== '.package-lock.json');

  copyTracked(first);
  const began = Date.now();
  const withoutScripts = { env: { npm_config_ignore_scripts: 'true' } };
  const what = 'npm start without install scripts';
  await attempt(what, () => setUp(first, withoutScripts));
  const seconds = (Date.now() - began) / 1000;
  let changes = [];
  if (problems.length === 0) {
    const before = modules(first);
    await attempt('packages without install scripts', () => smoke(first, pinned(first)));

    copyTracked(second);
    const tracked = source(second);
    const offline = { env: { npm_config_offline: 'true' }, isOffline: true };
    await attempt('npm start with install scripts', () => setUp(second, offline));
    changes = changedPaths(before, modules(second));
    // npm's own cache is elsewhere; ~/.npm holds its logs.
    const written = readTree(home, (name) => name !== '.npm').keys();
    changes.push(...[...written].map((path) => `+ ~/${path}`));
    for (const path of changedPaths(tracked, source(second))) {
      problems.push(`an install script changed a file outside node_modules: ${path}`);
    }
    await attempt('packages with install scripts', () => smoke(second, pinned(second)));
  }
  for (const folder of problems.length === 0 ? foldersWithLock() : []) {
    const install = ['npm', 'ci', '--ignore-scripts', '--no-fund'];
    await attempt(`npm ci in ${folder}`, () => call(join(first, folder), install));
  }
  if (pair.isDockerfile && problems.length === 0) {
    const image = join(work, 'image');
    mkdirSync(image);
    copyTracked(image);
    await attempt('npm ci of the Dockerfile', () => call(image, ['npm', ...DOCKERFILE_INSTALL]));
    await attempt('packages of the image', () => smoke(image, pinned(root), '--production'));
  }
  return { node: versions[0], npm: versions[1], seconds, problems, changes };
}

/**
 * @param {string[]} only npm versions of PAIRS, such as `10.8`; empty means all. The result is
 *   recorded only after all pairs have passed.
 */
async function main(only) {
  const sha256 = currentFingerprint(root);
  await prepare();
  const pairs = PAIRS.filter(({ npm }) => only.length === 0 || only.includes(npm));
  const work = mkdtempSync(join(tmpdir(), 'ephemera-check-lock-'));
  const debian = join(work, 'debian');
  const cleanUp = () => {
    removeDebianRoot(debian);
    rmSync(work, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => {
      for (const child of running) process.kill(-child.pid, 'SIGKILL');
      cleanUp();
      process.exit(1);
    });
  }
  const rows = [];
  const proved = [];
  const details = [];
  try {
    for (const [index, pair] of pairs.entries()) {
      const row = { node: pair.node, npm: pair.npm, install: 'ok', seconds: '', problem: '' };
      rows.push(row);
      console.log(`Node ${pair.node} with npm ${pair.npm} …`);
      const folder = join(work, `${index}`);
      mkdirSync(folder);
      try {
        const outcome = await provePair(pair, await enterPair(pair, folder, { work, debian }));
        const { node, npm, seconds, problems, changes } = outcome;
        Object.assign(row, { node, npm, seconds: seconds.toFixed(0) });
        if (problems.length > 0) throw new Error(problems.join('\n'));
        proved.push({ node, npm });
        details.push(
          `npm ${npm}: install scripts changed ${byPackage(changes).join(', ') || 'nothing'}`,
        );
      } catch (error) {
        row.install = error instanceof Skipped ? 'skipped' : 'FAILED';
        row.problem = error.message.split('\n')[0];
        console.error(error instanceof Skipped ? error.message : error.stack);
      }
      rmSync(folder, { recursive: true, force: true });
    }
  } finally {
    cleanUp();
  }
  console.log(`\n${formatTable(rows)}\n\n${details.join('\n')}`);
  const failed = rows.some(({ install }) => install === 'FAILED');
  const skipped = rows.some(({ install }) => install === 'skipped');
  if (proved.length === PAIRS.length) {
    console.log(
      `\nCommit ${writeRecord(root, sha256, proved)}: it records that these package files passed.`,
    );
  }
  // In CI every pair must pass. Elsewhere a pair may be unavailable; the result is then not
  // recorded.
  if (failed || (skipped && process.env.CI)) process.exitCode = 1;
}

class Skipped extends Error {}

/** Makes the pair ready: its own Debian root, or binaries from the registry. */
async function enterPair(pair, folder, { work, debian }) {
  if (pair.isDebian) {
    const missing = await missingForDebian(run);
    if (missing) throw new Skipped(`skipped, because ${missing}`);
    await makeDebianRoot(debian, run);
    const enter = (command, options) => inDebianRoot(debian, [work], command, options);
    return { work: folder, enter, path: '/usr/sbin:/usr/bin:/sbin:/bin' };
  }
  const bin = await installPair(pair, join(folder, 'pair'));
  const asUser = process.getuid() === 0 ? [] : ['--map-root-user'];
  const enter = (command, { isOffline = false } = {}) =>
    isOffline ? ['unshare', '--net', ...asUser, ...command] : command;
  return {
    work: folder,
    enter,
    path: `${bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(process.argv.slice(2));
}
