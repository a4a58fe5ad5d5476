import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ConfigError } from '@ephemera/config';

/** What signs; a signature for one purpose is none for another. */
export type KeyPurpose = 'link' | 'work';

/** The keys by which replicas know what one of them has signed. */
export interface SigningKeys {
  /** Whether there are any: without, nothing can be signed. */
  readonly hasKeys: boolean;
  /** HMAC-SHA256 under the first key, base64url. */
  sign(purpose: KeyPurpose, text: string): string;
  /** Whether any of the keys has signed it. */
  hasSigned(purpose: KeyPurpose, text: string, signature: string): boolean;
}

const MIN_LENGTH = 32;

/**
 * Keys from text, one a line or with commas between them. The first signs and all are known by, so
 * that a new one is put in front, and the old one taken out once what it signed has expired.
 *
 * @throws ConfigError for one that is too short to be random
 */
export function parseKeys(text: string, where: string): string[] {
  const keys = text.split(/[\s,]+/).filter(Boolean);
  if (keys.some((key) => key.length < MIN_LENGTH)) {
    const detail = `each key must have at least ${MIN_LENGTH} characters`;
    throw new ConfigError('The environment', [{ path: where, detail }]);
  }
  return keys;
}

/** @throws ConfigError where the file cannot be read, or has a key that is too short */
export function readKeyFile(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    const detail = `cannot be read (${code})`;
    throw new ConfigError(path, [{ path: 'EPHEMERA_SIGNING_KEYS_FILE', detail }]);
  }
  return parseKeys(text, 'EPHEMERA_SIGNING_KEYS_FILE');
}

/** @param keys those that are known at the moment */
export function createSigningKeys(keys: () => readonly string[]): SigningKeys {
  const signBy = (key: string, purpose: KeyPurpose, text: string) =>
    createHmac('sha256', key).update(`ephemera ${purpose}\n${text}`).digest('base64url');
  return {
    get hasKeys() {
      return keys().length > 0;
    },
    sign(purpose, text) {
      const [first] = keys();
      if (first === undefined) throw new Error('there is no key to sign with');
      return signBy(first, purpose, text);
    },
    hasSigned(purpose, text, signature) {
      // By their hashes: alike in length, and of one spelling only.
      const input = hash('sha256', signature, 'buffer');
      let genuine = false;
      for (const key of keys()) {
        const expected = hash('sha256', signBy(key, purpose, text), 'buffer');
        if (timingSafeEqual(input, expected)) genuine = true;
      }
      return genuine;
    },
  };
}
