import { createHmac, hash, hkdfSync, timingSafeEqual } from 'node:crypto';
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { Logger } from '@ephemera/process';
import { z } from 'zod';
import { ConfigError } from './environment.ts';

export const signingKeys = z
  .string()
  .optional()
  .describe(
    'Keys for signed links, proof-of-work challenges, access tokens of creations with an `Idempotency-Key`, the instances of a browser, the instances that proxies hand to workers and the requests that proxies send to workers, comma-separated, each random and at least 32 characters. The first key signs; every key verifies, so that keys can be rotated. All proxies and workers need the same keys. A worker with keys starts only what a proxy or worker with one of them has signed; without keys it starts what it finds in Redis.',
  );

export const signingKeysFile = z
  .string()
  .optional()
  .describe(
    'Path of a file with the signing keys, one per line. Read again when it changes. Set only one of the two.',
  );

/**
 * The purpose of a signature. A signature for one purpose is invalid for another. `start` and `pool`
 * are what workers accept from Redis. `restart`
 * is what a visit to a stable name starts. `access` makes the access token of a guarded instance. `visitor`
 * proves that a browser started an instance. `host-request` and `host-address` are for the connection
 * between proxies and workers.
 */
export type KeyPurpose =
  | 'link'
  | 'work'
  | 'start'
  | 'restart'
  | 'pool'
  | 'access'
  | 'visitor'
  | 'host-request'
  | 'host-address';

/** The keys that all replicas share to sign and to verify. */
export interface SigningKeys {
  /** False if no key is configured: then nothing can be signed. */
  readonly hasKeys: boolean;
  /** HMAC-SHA256 under the first key, base64url. */
  sign(purpose: KeyPurpose, text: string): string;
  /** The signature by each key, the first key's first. */
  signByEach(purpose: KeyPurpose, text: string): string[];
  /** Whether any of the keys made this signature. */
  hasSigned(purpose: KeyPurpose, text: string, signature: string): boolean;
}

/** What to do without a key. Node runs on every machine that runs a proxy. */
export const MAKE_A_KEY = `Make a key with: node -p "crypto.randomBytes(32).toString('base64url')"`;

/** Characters of a key. */
const MIN_LENGTH = 32;
/** How often a key file is checked for changes, ms. */
const POLL_INTERVAL_MS = 1_000;

/**
 * Parses keys that are separated by commas or white space. The first key signs; every key verifies,
 * so that keys can be rotated.
 * @throws ConfigError for a key of fewer than 32 characters, and for a text without a key: an empty
 * secret would otherwise disable the checks of signatures
 */
export function parseKeys(text: string, where: string): string[] {
  const keys = text.split(/[\s,]+/).filter(Boolean);
  if (keys.length === 0 || keys.some((key) => key.length < MIN_LENGTH)) {
    const problem = keys.length === 0 ? 'contains no key; ' : '';
    const detail = problem + `each key must have at least ${MIN_LENGTH} characters. ${MAKE_A_KEY}`;
    throw new ConfigError('The environment', [{ path: where, detail }]);
  }
  return keys;
}

/** @throws ConfigError if the file cannot be read or a key is too short */
function readKeyFile(path: string): string[] {
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

const isInternal = (purpose: KeyPurpose) => purpose !== 'link' && purpose !== 'work';

/** The key for signatures of texts that no client chooses (HKDF, RFC 5869). */
function deriveKey(key: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, '', 'ephemera internal signatures', 32));
}

/** @param keys returns the current keys */
export function createSigningKeys(keys: () => readonly string[]): SigningKeys {
  const internal = new Map<string, Uint8Array>();
  // Deriving a key costs ten times as much as a signature, and clients send many to verify.
  const internalKey = (key: string) => {
    let derived = internal.get(key);
    if (derived === undefined) {
      const current = new Set(keys());
      for (const known of internal.keys()) if (!current.has(known)) internal.delete(known);
      derived = deriveKey(key);
      internal.set(key, derived);
    }
    return derived;
  };
  const signBy = (key: string, purpose: KeyPurpose, text: string) =>
    createHmac('sha256', isInternal(purpose) ? internalKey(key) : key)
      .update(`ephemera ${purpose}\n${text}`)
      .digest('base64url');
  return {
    get hasKeys() {
      return keys().length > 0;
    },
    sign(purpose, text) {
      const [first] = keys();
      if (first === undefined) throw new Error('there is no key to sign with');
      return signBy(first, purpose, text);
    },
    signByEach: (purpose, text) => keys().map((key) => signBy(key, purpose, text)),
    hasSigned(purpose, text, signature) {
      // Hashes have one length, which timingSafeEqual requires.
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

/**
 * The signing keys of the environment, or of a file that is reloaded when it changes.
 * @param onReload called after each valid change of the file
 * @throws ConfigError if they are invalid at start-up
 */
export function watchKeys(
  { keys, file }: { readonly keys: string | undefined; readonly file: string | undefined },
  logger: Logger,
  onReload: () => void = () => undefined,
): SigningKeys & { close(): void } {
  if (file === undefined) {
    const input = keys ? parseKeys(keys, 'EPHEMERA_SIGNING_KEYS') : [];
    return Object.assign(
      createSigningKeys(() => input),
      { close: () => undefined },
    );
  }
  let current = readKeyFile(file);
  const reload = () => {
    try {
      current = readKeyFile(file);
      logger.info({ keys: current.length }, 'signing keys reloaded');
      onReload();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      logger.error({ faults: error.faults }, 'signing keys invalid, keeping the previous ones');
    }
  };
  watchFile(file, { interval: POLL_INTERVAL_MS, persistent: false }, reload);
  const signing = createSigningKeys(() => current);
  return {
    get hasKeys() {
      return signing.hasKeys;
    },
    sign: (purpose, text) => signing.sign(purpose, text),
    signByEach: (purpose, text) => signing.signByEach(purpose, text),
    hasSigned: (purpose, text, signature) => signing.hasSigned(purpose, text, signature),
    close: () => unwatchFile(file, reload),
  };
}
