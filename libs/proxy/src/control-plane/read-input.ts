import { FailureError } from '@ephemera/domain';
import { faultsOf } from '@ephemera/config';
import type { z } from 'zod';

/**
 * Reads what a client sent with a schema.
 * @throws FailureError invalid, with every fault
 */
export function readInput<T extends z.ZodType>(schema: T, given: unknown): z.infer<T> {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  throw new FailureError({ kind: 'invalid', faults: faultsOf(result.error) });
}

/** Seconds of a `Prefer: wait=N` (RFC 7240 section 4.3), at most `most`; undefined where absent. */
export function readPreferredWait(prefer: string, most: number): number | undefined {
  const match = /(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|,|$)/i.exec(prefer);
  return match ? Math.min(Number(match[1]), most) : undefined;
}
