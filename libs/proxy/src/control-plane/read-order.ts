import { createHash } from 'node:crypto';
import type { CreateRequest } from '@ephemera/contract';
import { accountOf } from '@ephemera/domain';
import type { Principal } from '@ephemera/domain';
import type { Order } from '@ephemera/lifecycle';
import type { Shares } from '@ephemera/config';

/**
 * On whose account a creation by the control API is, and under which idempotency key.
 * @param key the header Idempotency-Key
 */
export function readOrder(
  key: string | undefined,
  request: CreateRequest,
  shares: Shares,
  principal: Principal,
): Order {
  const owner = { name: accountOf(principal), limit: 'token', most: shares.perToken } as const;
  if (key === undefined) return { owner };
  return {
    owner,
    idempotency: { key: hash(`${owner.name}:${key}`), digest: hash(sorted(request)) },
  };
}

/** JSON in which the order of fields does not matter. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    each !== null && typeof each === 'object' && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
