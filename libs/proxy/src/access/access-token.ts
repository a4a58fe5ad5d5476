import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

/** What opens one guarded instance. */
export interface AccessToken {
  /** Shown to whoever started the instance, once, and kept nowhere. */
  readonly token: string;
  /** Kept with the instance and its route: SHA-256 in base64url. */
  readonly hash: string;
}

/** 256 random bits: a plain hash of it cannot be turned back, nor can it be guessed. */
export function makeAccessToken(): AccessToken {
  const token = randomBytes(32).toString('base64url');
  return { token, hash: hash('sha256', token, 'base64url') };
}

/** Whether a token opens what has this hash; in a time that tells nothing of either. */
export function matchesToken(token: string, expected: string): boolean {
  const known = Buffer.from(expected, 'base64url');
  const input = hash('sha256', token, 'buffer');
  // The hash of nothing, where it was lost.
  return known.length === input.length && timingSafeEqual(input, known);
}
