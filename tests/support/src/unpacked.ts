import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const cache = join(import.meta.dirname, '../../../.ephemera/cache/debian-packages');

/**
 * Returns the path of a program in a Debian package that is downloaded and unpacked, once per machine,
 * and not installed: an installation would start a daemon. Use it for programs that need no other
 * package.
 * @throws if apt-get cannot download the package, or if it lacks the program
 */
export async function unpacked(program: string, debianPackage: string): Promise<string> {
  const folder = join(cache, debianPackage);
  if (!existsSync(folder)) await unpack(debianPackage, folder);
  const path = join(folder, 'usr/bin', program);
  if (!existsSync(path)) throw new Error(`${debianPackage} does not contain ${program}`);
  return path;
}

async function unpack(debianPackage: string, folder: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'unpack-'));
  try {
    const download = () => execute('apt-get', ['-qq', 'download', debianPackage], { cwd: work });
    // The package lists may be missing or too old.
    await download().catch(async () => {
      await execute('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=300', 'update']);
      await download();
    });
    const file = (await readdir(work)).find((name) => name.endsWith('.deb'));
    if (file === undefined) throw new Error(`apt-get downloaded no package ${debianPackage}`);
    await execute('dpkg-deb', ['-x', file, 'root'], { cwd: work });
    // Another process may have unpacked it meanwhile.
    await rename(join(work, 'root'), folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
