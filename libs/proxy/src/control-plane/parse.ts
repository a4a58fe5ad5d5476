import { ApiError } from '@ephemera/domain';
import { issuesOf } from '@ephemera/config';
import type { z } from 'zod';

/**
 * Reads what a client sent with a schema.
 * @throws ApiError invalid, with every fault
 */
export function parse<T extends z.ZodType>(schema: T, input: unknown): z.infer<T> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw new ApiError({ kind: 'invalid', faults: issuesOf(result.error) });
}

/** Seconds of a `Prefer: wait=N` (RFC 7240 section 4.3), at most `most`; undefined where absent. */
export function readPreferredWait(prefer: string, max: number): number | undefined {
  const match = /(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|,|$)/i.exec(prefer);
  return match ? Math.min(Number(match[1]), max) : undefined;
}
