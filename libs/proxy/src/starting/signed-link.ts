import { ApiError } from '@ephemera/domain';
import type { SigningKeys } from './signing-keys.ts';

/** What a signed link allows whoever has it. */
export interface SignedLinkClaims {
  /** Tells this link from every other. */
  readonly id: string;
  /** The token's name on whose account its instances are; it must still be one. */
  readonly by: string;
  readonly template: string;
  /** Time to live of each instance, seconds; undefined: the template's. */
  readonly timeout?: number | undefined;
  /** How many instances it starts. */
  readonly uses: number;
  /** Epoch ms of the store's clock. */
  readonly expiresAt: number;
}

/** The text of a link: what it allows, a dot, and the signature of just these letters. */
export function writeLink(keys: SigningKeys, claims: SignedLinkClaims): string {
  const text = Buffer.from(JSON.stringify(claims)).toString('base64url');
  return `${text}.${keys.sign('link', text)}`;
}

/**
 * Reads a link that was made here and still counts.
 * @throws ApiError link_refused
 */
export function readLink(keys: SigningKeys, link: string, now: number): SignedLinkClaims {
  const [text = '', signature = '', ...more] = link.split('.');
  if (more.length > 0 || !keys.hasSigned('link', text, signature)) {
    throw new ApiError({ kind: 'link_refused', reason: 'invalid' });
  }
  const claims = JSON.parse(Buffer.from(text, 'base64url').toString()) as SignedLinkClaims;
  if (claims.expiresAt <= now) throw new ApiError({ kind: 'link_refused', reason: 'expired' });
  return claims;
}
