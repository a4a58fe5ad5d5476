import type { ExecResult } from '@ephemera/lifecycle';
import type { HostOperation } from '../host-interface/host-interface.ts';
import { MAX_CALLS_PER_HOST, MAX_CALLS_PER_INSTANCE } from './limits.ts';

/**
 * Refuses calls (`full`) beyond those that an instance, and the host, may have in progress at once.
 * All operations that are passed to the returned function count together.
 */
export function limitCalls(
  perInstance = MAX_CALLS_PER_INSTANCE,
  perHost = MAX_CALLS_PER_HOST,
): (operation: HostOperation) => HostOperation {
  const inProgress = new Map<string, number>();
  let total = 0;
  return ({ answer }) => ({
    async answer(call, req, res) {
      const { id } = call;
      const count = inProgress.get(id) ?? 0;
      if (count >= perInstance || total >= perHost) {
        res.setHeader('content-type', 'application/json');
        res.end(JSON.stringify({ kind: 'refused', why: 'full' } satisfies ExecResult<never>));
        return;
      }
      inProgress.set(id, count + 1);
      total++;
      try {
        await answer?.(call, req, res);
      } finally {
        total--;
        const left = (inProgress.get(id) ?? 1) - 1;
        if (left > 0) inProgress.set(id, left);
        else inProgress.delete(id);
      }
    },
  });
}
