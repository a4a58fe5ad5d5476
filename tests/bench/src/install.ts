import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { wholeEnvironment } from './config.ts';

const root = join(import.meta.dirname, '../../..');

/** Install folder of the npm contenders, locked by tests/bench/rivals/package-lock.json. */
export const rivals = join(root, '.ephemera/cache/bench-rivals');

const wantedRivals = join(root, 'tests/bench/rivals');

const DEBIAN = ['nginx', 'haproxy', 'caddy', 'wrk', 'redis-server'] as const;
/**
 * While this script exits with 101, package installations start no services (Debian Policy
 * 9.3.3.1).
 */
const SERVICE_POLICY = '/usr/sbin/policy-rc.d';

/**
 * Installs the contenders: missing Debian packages if this is root, and npm packages from their
 * lockfile.
 * @throws Error with the command to run if it cannot install them
 */
export function installContenders(say: (line: string) => void): void {
  const missing = DEBIAN.filter((name) => !isInstalled(name));
  if (missing.length > 0) installPackages(missing, say);
  if (!areRivalsInstalled()) {
    say('Installing configurable-http-proxy (npm ci) …');
    mkdirSync(rivals, { recursive: true });
    cpSync(wantedRivals, rivals, { recursive: true });
    execFileSync('npm', ['ci', '--ignore-scripts', '--loglevel=error'], {
      cwd: rivals,
      env: wholeEnvironment,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
}

/** npm writes its hidden lockfile last. The copied lockfile shows which versions were installed. */
function areRivalsInstalled(): boolean {
  if (!existsSync(join(rivals, 'node_modules/.package-lock.json'))) return false;
  const lockIn = (folder: string) => readFileSync(join(folder, 'package-lock.json'), 'utf8');
  return lockIn(rivals) === lockIn(wantedRivals);
}

function isInstalled(program: string): boolean {
  return ['/usr/sbin', '/usr/bin'].some((folder) => existsSync(join(folder, program)));
}

function installPackages(names: readonly string[], say: (line: string) => void): void {
  const install = ['install', '-y', '-q', '--no-install-recommends', ...names];
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    throw new Error(`missing: ${names.join(', ')}; as root: apt-get ${install.join(' ')}`);
  }
  say(`Installing ${names.join(', ')} (apt-get) …`);
  const env = { ...wholeEnvironment, DEBIAN_FRONTEND: 'noninteractive' };
  const isOurs = !existsSync(SERVICE_POLICY);
  if (isOurs) writeFileSync(SERVICE_POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    execFileSync('apt-get', ['update', '-q'], { env, stdio: 'ignore' });
    execFileSync('apt-get', install, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  } finally {
    if (isOurs) rmSync(SERVICE_POLICY, { force: true });
  }
}
