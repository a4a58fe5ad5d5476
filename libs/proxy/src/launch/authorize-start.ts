import type { IncomingMessage } from 'node:http';
import type { Quotas, SigningKeys } from '@ephemera/config';
import { ApiError, principalKey, allows } from '@ephemera/domain';
import type { Principal, Template } from '@ephemera/domain';
import { auditRequests } from '@ephemera/http';
import type { TokenSet } from '@ephemera/http';
import type { CreationContext, RedeemableGrant } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { Context, Middleware } from 'koa';
import type { RateSubject } from '../starting/count-request.ts';
import { readLink } from '../starting/signed-link.ts';
import type { SignedLinkClaims } from '../starting/signed-link.ts';
import { makeChallenge, readWork } from './proof-of-work.ts';

/** The credentials of a start request. */
export interface StartCredentials {
  /** The owner of the token in the request. */
  readonly principal: Principal | undefined;
  /** The owner that an embedding application has authenticated. */
  readonly owner?: string | undefined;
  /** A signed link. */
  readonly link: string | undefined;
  /** A solved proof of work. */
  readonly work: string | undefined;
  /** The visitor's address, normalised for quotas. */
  readonly clientKey: string;
}

export interface StartRules {
  readonly tokens: TokenSet;
  readonly keys: SigningKeys;
  readonly quotas: Quotas;
  /** Epoch ms of the store's clock. */
  readonly now: () => Promise<number>;
}

/** The quota, rate and origin of an authorised start. */
export interface StartAuthorization {
  readonly quotaOwner: NonNullable<CreationContext['quotaOwner']>;
  /** Which rate counts the request. That of the address, if no token or owner is known. */
  readonly countedBy: RateSubject;
  readonly by: string;
  readonly claims?: SignedLinkClaims | undefined;
}

/**
 * Authorises a start. A token of scope `create` counts against its own quota. A signed link counts
 * against the quota of the token that created it. A start by an owner that an embedding application
 * has authenticated counts against that owner, and needs no link and no proof of work. All other
 * starts count against the client address.
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
    const owner = credentials.principal;
    if (!allows(owner, 'create')) throw new ApiError({ kind: 'forbidden', needs: 'create' });
    return {
      quotaOwner: onToken(owner.name),
      countedBy: 'token',
      by: principalKey(owner),
    };
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
  if (credentials.owner !== undefined) {
    const quotaOwner = ownerQuota(credentials.owner, quotas);
    return { quotaOwner, countedBy: 'owner', by: quotaOwner.name };
  }
  const name = `address:${credentials.clientKey}`;
  const quotaOwner = { name, limit: 'address', max: quotas.perAddress } as const;
  return { quotaOwner, countedBy: 'address', by: 'visitor' };
}

/** The quota of an owner that an embedding application names. */
export function ownerQuota(owner: string, quotas: Quotas) {
  return { name: `owner:${owner}`, limit: 'owner', max: quotas.perOwner } as const;
}

/**
 * Returns the grants that a start of this template redeems.
 * @throws ApiError unauthorized, link_needed, link_refused, work_needed
 */
export async function requiredGrants(
  { keys, now }: StartRules,
  { work, clientKey }: StartCredentials,
  { countedBy, claims }: StartAuthorization,
  template: Template,
): Promise<RedeemableGrant[]> {
  if (countedBy !== 'address') return [];
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
    const detail =
      'Visitors cannot start this template at present. Ask its operator to complete the configuration.';
    throw new ApiError({ kind: 'conflict', detail });
  }
  const task = { template: template.name, bits, clientKey };
  const done = work === undefined ? undefined : readWork(keys, work, task, await now());
  if (done) return [done];
  throw new ApiError({
    kind: 'work_needed',
    challenge: makeChallenge(keys, task, await now()),
    bits,
  });
}

/** The audit fields of a start with a token. */
interface TokenStart {
  by?: string;
  id?: string;
}

/** Audits every start that carried a token, including invalid ones. */
export function auditStarts(options: {
  readonly logger: Logger;
  readonly addressOf: (req: IncomingMessage) => string;
}): Middleware {
  const { logger, addressOf } = options;
  return auditRequests({
    logger,
    addressOf: ({ req }) => addressOf(req),
    nameOf({ state, res }) {
      const { tokenStart } = state as { tokenStart?: TokenStart };
      if (!tokenStart) return undefined;
      const { by, id } = tokenStart;
      // Tokens beyond the limit are not checked. Entries for them would fill the log.
      if (res.statusCode === 429 && by === undefined) return undefined;
      return { by, action: 'instance.create', id };
    },
  });
}

/** Records audit fields of the current request. The first call marks it as a start with a token. */
export function recordStart(ctx: Pick<Context, 'state'>, start: TokenStart): void {
  ctx.state['tokenStart'] = { ...(ctx.state['tokenStart'] as TokenStart | undefined), ...start };
}
