import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { inherited } from '../config.ts';

/** Daemons are installed in sbin folders, which are not on every PATH. */
const alwaysSearched = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'];

/** Returns the full path of an installed program, or undefined. */
export function findProgram(name: string, path = inherited['PATH'] ?? ''): string | undefined {
  const folders = [...path.split(':').filter(Boolean), ...alwaysSearched];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
