import { hash, timingSafeEqual } from 'node:crypto';
import type { Principal } from '@ephemera/domain';
import { ConfigError } from '@ephemera/config';
import { ADMIN, type TokenEntries } from '@ephemera/config';

/** Who has shown a token. */
export interface Identified extends Principal {
  /** Tells this token from an earlier or later one of the same name; no secret. */
  readonly fingerprint: string;
}

/** The tokens that open the control API, as they are now. */
export interface TokenSet {
  /** Whose token this is; undefined where it is nobody's. */
  identify(token: string): Identified | undefined;
  /** The principal of a name, of just this token where one is told; undefined: none any more. */
  named(name: string, fingerprint?: string): Principal | undefined;
}

/** How `Authorization` carries a token (RFC 6750 section 2.1). */
export function bearerOf(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
}

/** The hash of a token as the configuration has it. */
export function hashToken(token: string): string {
  return `sha256:${hash('sha256', token, 'hex')}`;
}

/**
 * The tokens of the file beside the one of the environment.
 *
 * What is compared are hashes, all of them each time: neither whether a token is right in part, nor
 * whose it is, can be told by the time that it takes. A plain SHA-256 is enough for tokens of 256
 * random bits; a slow hash protects what people choose, and would let a stranger keep the proxy busy.
 *
 * @param entries the file's tokens as they are at the moment
 * @throws ConfigError where nobody could come in as an admin
 */
export function createTokens(
  adminToken: string | undefined,
  entries: () => TokenEntries,
): TokenSet {
  const own: TokenEntries =
    adminToken === undefined ? {} : { [ADMIN]: { hash: [hashToken(adminToken)], ...ALL } };
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
          const isIt = timingSafeEqual(input, bytesOf(text));
          if (isIt) found = { name, scopes, fingerprint: fingerprintOf(text) };
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
