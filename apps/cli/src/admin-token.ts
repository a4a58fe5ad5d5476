import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const fileIn = (folder: string) => join(folder, 'admin-token');

/** Returns the token that an earlier start stored, if there is one. */
export function readStoredToken(folder: string): string | undefined {
  try {
    return readFileSync(fileIn(folder), 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Generates a token of 256 random bits and stores it in a file that only its owner can read. */
export function makeToken(folder: string): string {
  const token = randomBytes(32).toString('base64url');
  writeFileSync(fileIn(folder), `${token}\n`, { mode: 0o600 });
  return token;
}
