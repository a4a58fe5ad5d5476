import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/**
 * Returns the path of a program. Installs its Debian package if the program is missing.
 * @throws if the program is still missing afterwards
 */
export async function installed(program: string, debianPackage = program): Promise<string> {
  const there = find(program);
  if (there !== undefined) return there;
  await installPackage(debianPackage);
  const now = find(program);
  if (now === undefined) throw new Error(`${debianPackage} does not contain ${program}`);
  return now;
}

/** Installs a Debian package. @throws if apt-get fails */
export async function installPackage(debianPackage: string): Promise<void> {
  const apt = ['-qq', '-o', 'DPkg::Lock::Timeout=300'];
  await run('apt-get', [...apt, 'update']);
  await run('apt-get', [...apt, 'install', '-y', '--no-install-recommends', debianPackage]);
}

function find(program: string): string | undefined {
  return FOLDERS.map((folder) => join(folder, program)).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with code ${String(code)}`);
}
