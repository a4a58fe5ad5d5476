import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const fileIn = (folder: string) => join(folder, 'admin-token');

/** The token that an earlier start made and kept, if there is one. */
export function readStoredToken(folder: string): string | undefined {
  try {
    return readFileSync(fileIn(folder), 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Makes a token of 256 random bits and keeps it where only its owner can read it. */
export function makeToken(folder: string): string {
  const token = randomBytes(32).toString('base64url');
  writeFileSync(fileIn(folder), `${token}\n`, { mode: 0o600 });
  return token;
}
