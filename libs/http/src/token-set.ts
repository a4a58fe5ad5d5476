import { hash, timingSafeEqual } from 'node:crypto';
import type { Principal } from '@ephemera/domain';
import { ConfigError } from '@ephemera/config';
import { ADMIN_TOKEN_NAME, type TokenEntries } from '@ephemera/config';

/** The principal of an identified token. */
export interface Identified extends Principal {
  /** Distinguishes this token from others of the same name. It is not secret. */
  readonly fingerprint: string;
}

/** The valid tokens of the control API, at present. */
export interface TokenSet {
  /** Returns the principal of a token; undefined if the token is invalid. */
  identify(token: string): Identified | undefined;
  /**
   * Returns the principal of a token name, and of exactly this token if a fingerprint is given.
   * Returns undefined if it no longer exists.
   */
  named(name: string, fingerprint?: string): Principal | undefined;
}

/** Returns the token in `Authorization` (RFC 6750 section 2.1). */
export function bearerOf(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
}

/** Returns the hash of a token as the configuration stores it. */
export function hashToken(token: string): string {
  return `sha256:${hash('sha256', token, 'hex')}`;
}

/**
 * The tokens of the configuration file and of the environment.
 *
 * All hashes are compared each time, in constant time. So timing reveals neither a partial match
 * nor the name. A plain SHA-256 is enough for tokens of 256 random bits. A slow hash would only
 * help passwords, and would let clients exhaust the CPU.
 *
 * @param entries returns the current tokens of the file
 * @throws ConfigError if no token has scope admin
 */
export function createTokens(
  adminToken: string | undefined,
  entries: () => TokenEntries,
): TokenSet {
  const own: TokenEntries =
    adminToken === undefined
      ? {}
      : { [ADMIN_TOKEN_NAME]: { hash: [hashToken(adminToken)], ...ALL } };
  if (adminToken === undefined && !hasAdmin(entries())) {
    const detail = 'must be set, unless the configuration has a token of scope admin';
    throw new ConfigError('The environment', [{ path: 'EPHEMERA_ADMIN_TOKEN', detail }]);
  }
  return {
    identify(token) {
      const input = digest(token);
      let found: Identified | undefined;
      for (const [name, { hash: hashes, scopes }] of Object.entries({ ...entries(), ...own })) {
        for (const text of hashes) {
          const matches = timingSafeEqual(input, bytesOf(text));
          if (matches) found = { name, scopes, fingerprint: fingerprintOf(text) };
        }
      }
      return found;
    },
    named(name, fingerprint) {
      const known = { ...entries(), ...own };
      const entry = Object.hasOwn(known, name) ? known[name] : undefined;
      if (!entry) return undefined;
      const prints = entry.hash.map(fingerprintOf);
      if (fingerprint !== undefined && !prints.includes(fingerprint)) return undefined;
      return { name, scopes: entry.scopes };
    },
  };
}

const ALL = { scopes: ['admin' as const] };

function fingerprintOf(configured: string): string {
  return bytesOf(configured).toString('hex', 0, 8);
}

function hasAdmin(entries: TokenEntries): boolean {
  return Object.values(entries).some(({ scopes }) => scopes.includes('admin'));
}

function digest(token: string): Buffer {
  return hash('sha256', token, 'buffer');
}

function bytesOf(configured: string): Buffer {
  return Buffer.from(configured.slice('sha256:'.length), 'hex');
}
