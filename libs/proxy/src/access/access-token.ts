import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

/** The access token of one guarded instance. */
export interface AccessToken {
  /** Returned once to the client that started the instance. It is not stored. */
  readonly token: string;
  /** Stored with the instance and its route: SHA-256 in base64url. */
  readonly hash: string;
}

/** 256 random bits: a plain hash is enough, because the token cannot be guessed. */
export function makeAccessToken(): AccessToken {
  const token = randomBytes(32).toString('base64url');
  return { token, hash: hash('sha256', token, 'base64url') };
}

/** Returns whether a token matches a hash. Takes constant time. */
export function matchesToken(token: string, expected: string): boolean {
  const known = Buffer.from(expected, 'base64url');
  const input = hash('sha256', token, 'buffer');
  // The expected hash is empty where the store has lost it.
  return known.length === input.length && timingSafeEqual(input, known);
}
