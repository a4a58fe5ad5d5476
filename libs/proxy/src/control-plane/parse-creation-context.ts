import { createHash } from 'node:crypto';
import type { CreateRequest } from '@ephemera/contract';
import { principalKey } from '@ephemera/domain';
import type { Principal } from '@ephemera/domain';
import type { CreationContext } from '@ephemera/lifecycle';
import type { Quotas } from '@ephemera/config';

/**
 * Returns the quota owner of a creation through the control API, and its idempotency key.
 * @param key the Idempotency-Key header
 */
export function parseCreationContext(
  key: string | undefined,
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
  return {
    quotaOwner,
    idempotency: { key: hash(`${quotaOwner.name}:${key}`), digest: hash(sorted(request)) },
  };
}

/** Serializes to JSON with sorted keys, so that the order of fields does not matter. */
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
