import { ApiError, principalKey, allows } from '@ephemera/domain';
import type { Principal, Template } from '@ephemera/domain';
import type { CreationContext, RedeemableGrant } from '@ephemera/lifecycle';
import type { Quotas } from '@ephemera/config';
import type { TokenSet } from '@ephemera/http';
import { makeChallenge, readWork } from './proof-of-work.ts';
import { type SignedLinkClaims, readLink } from '../starting/signed-link.ts';
import type { SigningKeys } from '../starting/signing-keys.ts';

/** What somebody who wants an instance has said of themselves. */
export interface StartCredentials {
  /** Whose token came along. */
  readonly principal: Principal | undefined;
  /** A signed link. */
  readonly link: string | undefined;
  /** Work that was done for it. */
  readonly work: string | undefined;
  /** The visitor's address, as it counts. */
  readonly clientKey: string;
}

export interface StartRules {
  readonly tokens: TokenSet;
  readonly keys: SigningKeys;
  readonly quotas: Quotas;
  /** Epoch ms of the store's clock. */
  readonly now: () => Promise<number>;
}

/** On whose account an instance is started. */
export interface StartAuthorization {
  readonly quotaOwner: NonNullable<CreationContext['quotaOwner']>;
  /** Who is counted by the rate: the address, except for who sent a token. */
  readonly countedBy: 'address' | 'token';
  readonly by: string;
  readonly claims?: SignedLinkClaims | undefined;
}

/**
 * Who comes with a token of scope `create` is on its account, who has a link is on that of the
 * token that made it, and everybody else on that of their address.
 * @throws ApiError forbidden, link_refused
 */
export async function authenticateStart(
  rules: StartRules,
  credentials: StartCredentials,
): Promise<StartAuthorization> {
  const { tokens, keys, quotas, now } = rules;
  const onToken = (name: string) =>
    ({ name: principalKey({ name }), limit: 'token', max: quotas.perToken }) as const;
  if (credentials.principal) {
    const who = credentials.principal;
    if (!allows(who, 'create')) throw new ApiError({ kind: 'forbidden', needs: 'create' });
    return { quotaOwner: onToken(who.name), countedBy: 'token', by: principalKey(who) };
  }
  if (credentials.link !== undefined) {
    const claims = readLink(keys, credentials.link, await now());
    const maker = tokens.named(claims.by);
    if (!maker || !allows(maker, 'create')) {
      throw new ApiError({ kind: 'link_refused', reason: 'expired' });
    }
    return {
      quotaOwner: onToken(claims.by),
      countedBy: 'address',
      by: `link:${claims.id}`,
      claims,
    };
  }
  const name = `address:${credentials.clientKey}`;
  const quotaOwner = { name, limit: 'address', max: quotas.perAddress } as const;
  return { quotaOwner, countedBy: 'address', by: 'visitor' };
}

/**
 * The grants that starting an instance of this template redeems.
 * @throws ApiError unauthorized, link_needed, link_refused, work_needed
 */
export async function requiredGrants(
  { keys, now }: StartRules,
  { work, clientKey }: StartCredentials,
  { countedBy, claims }: StartAuthorization,
  template: Template,
): Promise<RedeemableGrant[]> {
  if (countedBy === 'token') return [];
  if (claims) {
    const { id, uses, expiresAt } = claims;
    if (claims.template !== template.name || template.create === 'token') {
      throw new ApiError({ kind: 'link_refused', reason: 'invalid' });
    }
    return [{ kind: 'link', name: `link:${id}`, max: uses, expiresAt }];
  }
  if (template.create === 'token') throw new ApiError({ kind: 'unauthorized' });
  if (template.create === 'link') throw new ApiError({ kind: 'link_needed' });
  const bits = template.proofOfWork ?? 0;
  if (bits === 0) return [];
  if (!keys.hasKeys) {
    const detail = 'This template cannot be started by visitors at the moment.';
    throw new ApiError({ kind: 'conflict', detail });
  }
  const task = { template: template.name, bits, who: clientKey };
  const done = work === undefined ? undefined : readWork(keys, work, task, await now());
  if (done) return [done];
  throw new ApiError({
    kind: 'work_needed',
    challenge: makeChallenge(keys, task, await now()),
    bits,
  });
}
