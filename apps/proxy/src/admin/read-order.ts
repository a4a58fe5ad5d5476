import { createHash } from 'node:crypto';
import type { CreateRequest } from '@ephemera/contract';
import { FailureError } from '@ephemera/domain';
import type { Order } from '@ephemera/lifecycle';
import type { Shares } from '@ephemera/runtime';

/** What the headers of a creation say beside its body. */
interface OrderHeaders {
  readonly authorization?: string | undefined;
  readonly 'idempotency-key'?: string | string[] | undefined;
}

/**
 * On whose account a creation by the control API is, and under which idempotency key.
 * @throws FailureError invalid for a key of another form
 */
export function readOrder(headers: OrderHeaders, request: CreateRequest, shares: Shares): Order {
  const token = hash(headers.authorization ?? '').slice(0, 16);
  const owner = { name: `token:${token}`, limit: 'token', most: shares.perToken } as const;
  const key = headers['idempotency-key'];
  if (key === undefined) return { owner };
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    const detail = 'Idempotency-Key must be 1 to 255 visible characters';
    throw new FailureError({ kind: 'invalid', faults: [{ path: '', detail }] });
  }
  return { owner, idempotency: { key: hash(`${token}:${key}`), digest: hash(sorted(request)) } };
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
