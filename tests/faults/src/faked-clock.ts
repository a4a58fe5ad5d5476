import { execFile } from 'node:child_process';
import { glob, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * A wall clock for one process, which a test sets while the process runs. The monotonic clock is
 * not changed.
 */
export interface FakedClock {
  /** Environment variables that the process must be started with. */
  readonly env: Readonly<Record<string, string>>;
  /** Sets the offset from the clock of this machine, in seconds. */
  set(seconds: number): Promise<void>;
  remove(): Promise<void>;
}

export async function fakeClock(seconds: number): Promise<FakedClock> {
  const library = (await findLibrary()) ?? (await install());
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-clock-'));
  const file = join(folder, 'offset');
  const set = (offset: number) => writeFile(file, `${offset < 0 ? '' : '+'}${offset}\n`);
  await set(seconds);
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
    set,
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

async function findLibrary(): Promise<string | undefined> {
  for await (const path of glob('/usr/lib/*/faketime/libfaketimeMT.so.1')) return path;
  return undefined;
}

async function install(): Promise<string> {
  await run('apt-get', ['install', '-y', '--no-install-recommends', 'faketime']);
  const library = await findLibrary();
  if (library === undefined)
    throw new Error('the Debian package faketime was installed, but its library is missing');
  return library;
}
