import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** A suite of Debian whose packages are tested. */
export type Suite = 'bookworm' | 'trixie' | 'sid';

/** What the systems are made of. Bookworm has no Valkey. */
const PACKAGES = ['docker.io', 'docker-compose', 'redis-server', 'iptables', 'iproute2', 'procps'];

const cache = join(import.meta.dirname, '../../../../.ephemera/cache/debian');

/**
 * Makes a Debian system of the suite, once per machine.
 * @returns its folder
 */
export async function debianSystem(
  suite: Suite,
  print: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const folder = join(cache, suite);
  if (existsSync(folder)) return folder;
  print(`Debian ${suite}: downloading its packages`);
  const run = async ([program = '', ...args]: string[]) =>
    (await execute(program, args, { maxBuffer: 64 * 1024 ** 2, signal })).stdout;
  // The mirror that apt uses for Debian. Without one, debootstrap uses its default.
  const format = '$(ORIGIN)|$(LABEL)|$(REPO_URI)';
  const targets = await run(['apt-get', 'indextargets', '--format', format]);
  const mirror = /^Debian\|Debian\|(.+)$/m.exec(targets)?.[1];
  const packages = [
    ...PACKAGES,
    'ca-certificates',
    ...(suite === 'bookworm' ? [] : ['valkey-server']),
  ];
  // An interrupted run leaves this folder, and no half system under the other name.
  const unfinished = `${folder}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(cache, { recursive: true });
  const include = `--include=${packages.join(',')}`;
  await run([
    ...['unshare', '--mount', 'debootstrap', '--variant=minbase', include, suite, unfinished],
    ...(mirror === undefined ? [] : [mirror]),
  ]);
  await rm(join(unfinished, 'var/cache/apt/archives'), { recursive: true, force: true });
  await rename(unfinished, folder);
  return folder;
}
