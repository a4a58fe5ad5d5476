import { randomBytes } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { BootError } from '@ephemera/domain';

/** The secrets that a start generates and later starts reuse; the names of their files. */
export type SecretName = 'admin-token' | 'redis-password' | 'signing-keys';

/** Returns a secret that an earlier start stored, if there is one. */
export function readSecret(folder: string, name: SecretName): string | undefined {
  try {
    return readFileSync(join(folder, name), 'utf8').trim() || undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new BootError(
      `${join(folder, name)} cannot be read (${code ?? 'unknown error'}). ` +
        'It may belong to another user. Remove it, or start as its owner.',
      { cause: error },
    );
  }
}

/**
 * Returns a stored secret. If there is none, generates 256 random bits and stores them in a file that
 * only its owner can read.
 */
export function keepSecret(folder: string, name: SecretName): string {
  const stored = readSecret(folder, name);
  if (stored !== undefined) return stored;
  const secret = randomBytes(32).toString('base64url');
  writeFileSync(join(folder, name), `${secret}\n`, { mode: 0o600 });
  return secret;
}

/** Subfolders whose content is secret too. `cache` holds file systems that must keep their modes. */
const PRIVATE_FOLDERS = ['logs', 'redis'];

/**
 * Creates a state folder and its folder for logs, and closes both to all other users of the machine:
 * logs and the data of Redis contain the environments of instances. Also narrows the modes of what an
 * earlier start has left.
 *
 * @param root the folder that contains the state folders of all namespaces
 * @throws BootError if something in it belongs to another user
 */
export function prepareStateFolder(root: string, folder: string): void {
  try {
    closeFolders(root, folder);
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    throw new BootError(
      `${path ?? folder} cannot be used (${code}). It may belong to another user. ` +
        `Remove ${root}, or start as its owner.`,
      { cause: error },
    );
  }
}

function closeFolders(root: string, folder: string): void {
  for (const path of [root, folder]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    narrow(path);
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (!entry.isDirectory()) narrow(join(path, entry.name));
    }
    for (const name of PRIVATE_FOLDERS) narrowTree(join(path, name));
  }
  mkdirSync(join(folder, 'logs'), { recursive: true, mode: 0o700 });
}

function narrowTree(path: string): void {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  narrow(path);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) narrowTree(child);
    else narrow(child);
  }
}

/** Removes the rights of group and others. Symbolic links have no rights of their own. */
function narrow(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (!stats || stats.isSymbolicLink() || (stats.mode & 0o077) === 0) return;
  try {
    chmodSync(path, stats.isDirectory() ? 0o700 : 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new BootError(
      `Other users can read ${path}, and its mode cannot be changed (${code ?? 'unknown error'}). ` +
        'It may belong to another user. Remove it, or start as its owner.',
      { cause: error },
    );
  }
}

/** Calls `work`. Files that it, or a process that it spawns, creates are closed to other users. */
export function withPrivateFiles<T>(work: () => T): T {
  const before = process.umask(0o077);
  try {
    return work();
  } finally {
    process.umask(before);
  }
}
