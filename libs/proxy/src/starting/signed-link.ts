import { ConfigError, MAKE_A_KEY } from '@ephemera/config';
import type { SigningKeys, TemplateSet } from '@ephemera/config';
import { ApiError, fieldThatNeedsKeys } from '@ephemera/domain';

/** What a signed link grants its holder. */
export interface SignedLinkClaims {
  /** Unique id of the link. */
  readonly id: string;
  /** The name of the token whose quota its instances count against. The token must still exist. */
  readonly by: string;
  readonly template: string;
  /** Time to live of each instance, seconds; undefined: the template's. */
  readonly timeout?: number | undefined;
  /** How many instances it can start. */
  readonly uses: number;
  /** Epoch ms of the store's clock. */
  readonly expiresAt: number;
}

/** Serializes a link: the claims, a dot, and the signature of the serialized claims. */
export function writeLink(keys: SigningKeys, claims: SignedLinkClaims): string {
  const text = Buffer.from(JSON.stringify(claims)).toString('base64url');
  return `${text}.${keys.sign('link', text)}`;
}

/**
 * Verifies a link and returns its claims.
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

/** @throws ConfigError if a template requires signatures and there is no key */
export function requireKeys({ templates }: TemplateSet, keys: SigningKeys): void {
  if (keys.hasKeys) return;
  for (const template of templates.values()) {
    const field = fieldThatNeedsKeys(template);
    if (field === undefined) continue;
    const detail = `must be set, because the template ${template.name} has ${field}. ${MAKE_A_KEY}`;
    throw new ConfigError('The environment', [{ path: 'EPHEMERA_SIGNING_KEYS', detail }]);
  }
}
