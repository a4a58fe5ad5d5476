import { existsSync, readFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/**
 * Where npm keeps what it has installed: written last, so an interrupted install has none.
 * Both files map folders to packages: `node_modules/koa` → `{version, integrity, optional?}`.
 */
const installedLock = 'node_modules/.package-lock.json';

/**
 * Whether all that package-lock.json asks for is installed, in the same versions. Optional
 * packages may be missing: they are for other platforms.
 *
 * @param {Record<string, LockedPackage>} wanted
 * @param {Record<string, LockedPackage>} installed
 * @typedef {{version?: string, integrity?: string, resolved?: string, link?: boolean, optional?: boolean}} LockedPackage
 */
export function isComplete(wanted, installed) {
  return Object.entries(wanted)
    .filter(([folder]) => folder.includes('node_modules/'))
    .every(([folder, locked]) => {
      const have = installed[folder];
      if (have === undefined) return locked.optional === true;
      // A workspace is a link to its folder, which may have moved.
      if (locked.link) return have.resolved === locked.resolved;
      return have.version === locked.version && have.integrity === locked.integrity;
    });
}

/** Runs `npm ci` where packages are missing or stale, and says so. */
export async function installPackages(root) {
  const wanted = readPackages(join(root, 'package-lock.json'));
  const installed = readPackages(join(root, installedLock));
  if (isComplete(wanted, installed)) return;
  console.log(`Installing ${Object.keys(wanted).length} packages (npm ci) …`);
  await npmCi(root);
}

function readPackages(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : {};
}

/** npm is silent where nobody watches; its log of requests tells how far it is. */
async function npmCi(root) {
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=http'];
  const npm = process.env.npm_execpath;
  const child = npm?.endsWith('.js')
    ? spawn(process.execPath, [npm, ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    : spawn('npm', args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  // npm has begun to change node_modules: this process must not end before it.
  let stoppedBy;
  const handOn = (signal) => {
    stoppedBy = signal;
    child.kill(signal);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, handOn);
  let fetched = 0;
  let shownAt = Date.now();
  const tail = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (!/^npm http /.test(line)) return void tail.push(line);
      fetched += 1;
      if (Date.now() - shownAt < 3000) return;
      shownAt = Date.now();
      console.log(`  … ${fetched} fetched`);
    });
  }
  const problem = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code === 0 ? '' : `${signal ?? `code ${code}`}`));
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(signal, handOn);
  if (stoppedBy !== undefined) {
    console.log('Stopped. Nothing was started; the next npm start installs the packages.');
    process.exit(130);
  }
  if (problem) throw new Error(`npm ci failed (${problem}):\n${tail.slice(-20).join('\n')}`);
}
