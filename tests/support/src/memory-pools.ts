import type { Instance, InstanceDraft } from '@ephemera/domain';
import { isDead } from '@ephemera/domain';
import type { Intake } from '@ephemera/lifecycle';
import type { Synchronous } from './async-port.ts';
import type { MemoryTable } from './memory-table.ts';

export type MemoryPools = Pick<Intake, 'createWarm' | 'claimWarm'>;

/** Pools in memory, without quotas, limits and idempotency: every request is accepted. */
export function memoryPools(
  { now, all, move, nextGeneration }: MemoryTable,
  create: (draft: InstanceDraft, pool: string) => Instance,
): Synchronous<MemoryPools> {
  return {
    createWarm(draft, pool, desired) {
      const there = all().filter((instance) => instance.pool === pool && !isDead(instance.state));
      return there.length < desired ? create(draft, pool) : undefined;
    },
    claimWarm(pool, { timeout, metadata, path }) {
      const [warm] = all()
        .filter((item) => item.pool === pool && item.state === 'warm' && item.expiresAt > now())
        .sort((a, b) => a.expiresAt - b.expiresAt);
      if (!warm) return { kind: 'none' };
      const maxExpiresAt = now() + warm.template.maxTimeout;
      const instance = move(warm, 'ready', {
        pool: undefined,
        supersedes: warm.generation,
        pooledAs: warm.generation,
        generation: nextGeneration(),
        timeout,
        metadata,
        path,
        createdAt: now(),
        startedAt: now(),
        activeAt: now(),
        expiresAt: Math.min(now() + timeout, maxExpiresAt),
        maxExpiresAt,
      });
      return { kind: 'claimed', instance };
    },
  };
}
