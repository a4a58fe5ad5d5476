import { createHash, timingSafeEqual } from 'node:crypto';

/** Compares in constant time. Hashing also hides the lengths. */
export function equalSecrets(text: string, other: string): boolean {
  return timingSafeEqual(digest(text), digest(other));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
