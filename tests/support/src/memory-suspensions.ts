import type { Suspensions } from '@ephemera/lifecycle';
import type { Synchronous } from './async-port.ts';
import type { MemoryTable } from './memory-table.ts';

/** Pausing and resuming in memory. */
export function memorySuspensions({ now, find, move }: MemoryTable): Synchronous<Suspensions> {
  return {
    pause(id) {
      const instance = find(id);
      if (!instance) return 'absent';
      if (instance.state === 'paused') return 'paused';
      if (instance.state !== 'ready') return 'refused';
      move(instance, 'paused', {});
      return 'paused';
    },
    resume(id) {
      const instance = find(id);
      if (!instance) return { kind: 'absent' };
      if (instance.state === 'ready') return { kind: 'resumed', sooner: false, instance };
      if (instance.state !== 'paused' || instance.expiresAt <= now()) return { kind: 'refused' };
      const { expiresAt: held, maxExpiresAt, timeout, template } = instance;
      const restarted = Math.min(now() + timeout, maxExpiresAt);
      const expiresAt = template.onTimeout === 'pause' ? restarted : held;
      const resumed = move(instance, 'ready', { activeAt: now(), expiresAt });
      return { kind: 'resumed', sooner: expiresAt < held, instance: resumed };
    },
  };
}
