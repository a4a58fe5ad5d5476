import { FailureError, accountOf, allows } from '@ephemera/domain';
import type { Principal, Template } from '@ephemera/domain';
import type { Order, Voucher } from '@ephemera/lifecycle';
import type { Shares } from '@ephemera/config';
import type { TokenSet } from '@ephemera/http';
import { makeChallenge, readWork } from './proof-of-work.ts';
import { type Grant, readLink } from './signed-link.ts';
import type { SigningKeys } from './signing-keys.ts';

/** What somebody who wants an instance has said of themselves. */
export interface Petition {
  /** Whose token came along. */
  readonly holder: Principal | undefined;
  /** A signed link. */
  readonly link: string | undefined;
  /** Work that was done for it. */
  readonly work: string | undefined;
  /** The visitor's address, as it counts. */
  readonly share: string;
}

export interface StartRules {
  readonly tokens: TokenSet;
  readonly keys: SigningKeys;
  readonly shares: Shares;
  /** Epoch ms of the store's clock. */
  readonly now: () => Promise<number>;
}

/** On whose account an instance is started. */
export interface Permit {
  readonly owner: NonNullable<Order['owner']>;
  /** Who is counted by the rate: the address, except for who sent a token. */
  readonly counts: 'address' | 'token';
  readonly by: string;
  readonly grant?: Grant | undefined;
}

/**
 * Who comes with a token of scope `create` is on its account, who has a link is on that of the
 * token that made it, and everybody else on that of their address.
 * @throws FailureError forbidden, link_refused
 */
export async function identify(rules: StartRules, petition: Petition): Promise<Permit> {
  const { tokens, keys, shares, now } = rules;
  const onToken = (name: string) =>
    ({ name: accountOf({ name }), limit: 'token', most: shares.perToken }) as const;
  if (petition.holder) {
    const who = petition.holder;
    if (!allows(who, 'create')) throw new FailureError({ kind: 'forbidden', needs: 'create' });
    return { owner: onToken(who.name), counts: 'token', by: accountOf(who) };
  }
  if (petition.link !== undefined) {
    const grant = readLink(keys, petition.link, await now());
    const maker = tokens.named(grant.by);
    if (!maker || !allows(maker, 'create')) {
      throw new FailureError({ kind: 'link_refused', why: 'expired' });
    }
    return { owner: onToken(grant.by), counts: 'address', by: `link:${grant.id}`, grant };
  }
  const name = `address:${petition.share}`;
  const owner = { name, limit: 'address', most: shares.perAddress } as const;
  return { owner, counts: 'address', by: 'visitor' };
}

/**
 * The vouchers that an instance of a template is started with.
 * @throws FailureError unauthorized, link_needed, link_refused, work_needed
 */
export async function vouchersFor(
  { keys, now }: StartRules,
  { work, share }: Petition,
  { counts, grant }: Permit,
  template: Template,
): Promise<Voucher[]> {
  if (counts === 'token') return [];
  if (grant) {
    const { id, uses, expiresAt } = grant;
    if (grant.template !== template.name || template.create === 'token') {
      throw new FailureError({ kind: 'link_refused', why: 'invalid' });
    }
    return [{ kind: 'link', name: `link:${id}`, most: uses, expiresAt }];
  }
  if (template.create === 'token') throw new FailureError({ kind: 'unauthorized' });
  if (template.create === 'link') throw new FailureError({ kind: 'link_needed' });
  const bits = template.proofOfWork ?? 0;
  if (bits === 0) return [];
  if (!keys.present) {
    const detail = 'This template cannot be started by visitors at the moment.';
    throw new FailureError({ kind: 'conflict', detail });
  }
  const task = { template: template.name, bits, who: share };
  const done = work === undefined ? undefined : readWork(keys, work, task, await now());
  if (done) return [done];
  throw new FailureError({
    kind: 'work_needed',
    challenge: makeChallenge(keys, task, await now()),
    bits,
  });
}
