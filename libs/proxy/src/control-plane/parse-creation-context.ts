import { createHash } from 'node:crypto';
import type { CreateRequest } from '@ephemera/contract';
import { ApiError, principalKey } from '@ephemera/domain';
import type { Principal } from '@ephemera/domain';
import type { CreationContext } from '@ephemera/lifecycle';
import type { Quotas } from '@ephemera/config';

/**
 * On whose account a creation by the control API is, and under which idempotency key.
 * @param key the header Idempotency-Key
 * @throws ApiError invalid for a key of another form
 */
export function parseCreationContext(
  key: string | string[] | undefined,
  request: CreateRequest,
  quotas: Quotas,
  principal: Principal,
): CreationContext {
  const quotaOwner = {
    name: principalKey(principal),
    limit: 'token',
    max: quotas.perToken,
  } as const;
  if (key === undefined) return { quotaOwner };
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    const detail = 'Idempotency-Key must be 1 to 255 visible characters';
    throw new ApiError({ kind: 'invalid', faults: [{ path: '', detail }] });
  }
  return {
    quotaOwner,
    idempotency: { key: hash(`${quotaOwner.name}:${key}`), digest: hash(sorted(request)) },
  };
}

/** JSON in which the order of fields does not matter. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    item !== null && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
