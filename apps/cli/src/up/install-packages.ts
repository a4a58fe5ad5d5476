import { BootError } from '@ephemera/domain';
import { inherited } from '../config.ts';
import type { OnProgress } from '../terminal/reporter.ts';
import { findProgram } from './find-program.ts';
import { runCommand } from './run-command.ts';
import { hasServiceManager } from './service-manager.ts';

/** A Debian package, and a program that shows whether it is installed. */
export interface Package {
  readonly name: string;
  readonly program: string;
}

/** Returns the packages whose program is not on the machine. */
export function missingPackages(
  wanted: readonly Package[],
  find: (program: string) => string | undefined = findProgram,
): Package[] {
  return wanted.filter(({ program }) => find(program) === undefined);
}

/**
 * Installs Debian packages with apt-get.
 *
 * @throws {BootError} with the command to run, if this is not root or there is no apt-get
 */
export async function installPackages(
  packages: readonly Package[],
  onProgress: OnProgress,
  stop?: AbortSignal,
): Promise<void> {
  const names = packages.map(({ name }) => name);
  const command = `apt-get update && apt-get install -y --no-install-recommends ${names.join(' ')}`;
  if (findProgram('apt-get') === undefined) {
    throw new BootError(
      `${names.join(', ')} must be installed, but this machine has no apt-get.\n` +
        `Install packages that provide ${packages.map(({ program }) => program).join(', ')}, ` +
        'or set DOCKER_HOST and EPHEMERA_REDIS_URL to a running Docker Engine and Redis.',
    );
  }
  if (process.getuid?.() !== 0) {
    throw new BootError(
      `${names.join(', ')} must be installed, which requires root. Run:\n\n    sudo sh -c '${command}'\n`,
    );
  }
  const env = { ...inherited, DEBIAN_FRONTEND: 'noninteractive', ...withoutServices() };
  const apt = ['-q', '-o', 'APT::Status-Fd=3', '-o', 'DPkg::Lock::Timeout=120'];
  const onStatus = (line: string) => {
    const note = aptProgress(line);
    if (note !== undefined) onProgress(note);
  };
  // At SIGINT apt-get cancels a download, but it defers the signal while dpkg changes the machine.
  const run = { env, onStatus, stop, stopWith: 'SIGINT' } as const;
  onProgress('reading the package lists');
  await runCommand('apt-get', [...apt, 'update'], run);
  onProgress(`fetching ${names.join(' ')}`);
  const install = ['install', '-y', '--no-install-recommends', ...names];
  await runCommand('apt-get', [...apt, ...install], run);
  onProgress(`installed ${names.join(', ')}`);
}

/**
 * Without a service manager, the init scripts of the packages would start unsupervised daemons.
 * Runlevel 1 makes invoke-rc.d skip them; `up` starts the daemons that it needs.
 */
function withoutServices(): NodeJS.ProcessEnv {
  return hasServiceManager() ? {} : { RUNLEVEL: '1' };
}

/**
 * Parses a line of apt's status protocol: `dlstatus:1:23.45:Retrieving file 3 of 9` or
 * `pmstatus:docker.io:56.25:Unpacking docker.io (amd64)`.
 */
export function aptProgress(line: string): string | undefined {
  const found = /^(dlstatus|pmstatus):[^:]*:([\d.]+):(.*)$/.exec(line);
  if (!found) return undefined;
  const [, kind, percent, what] = found;
  return `${kind === 'dlstatus' ? 'download' : 'install'} ${Math.round(Number(percent))} % ${what}`;
}
