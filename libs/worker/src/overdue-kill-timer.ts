import type { Instance } from '@ephemera/domain';
import type { KillJobs } from '@ephemera/lifecycle';

export interface OverdueKillTimerOptions {
  readonly killJobs: Pick<KillJobs, 'promote'>;
  /** Whoever has longer than this is told of again before, milliseconds. */
  readonly timeoutMs: number;
  readonly onError: (error: unknown, id: string) => void;
}

export interface OverdueKillTimer {
  /** Sees to it that the kill job of an instance does not wait much longer than `remaining` ms. */
  watch(instance: Instance, remaining: number): void;
  stop(): void;
}

/** A kill job on time has begun by then, milliseconds after its deadline. */
const OVERDUE_DELAY_MS = 250;

/**
 * Hastens kill jobs that are late. The queue knows when a job is due by the wall clock of a worker,
 * and that may have been set back while the job waited; the timers here run by the monotonic one,
 * from what was left of the lease by the store's clock. Whether it is over the kill itself decides.
 */
export function overdueKillTimer({
  killJobs,
  timeoutMs,
  onError,
}: OverdueKillTimerOptions): OverdueKillTimer {
  const timers = new Map<string, NodeJS.Timeout>();
  return {
    watch(instance, remaining) {
      const { id } = instance;
      clearTimeout(timers.get(id));
      timers.delete(id);
      if (remaining > timeoutMs) return;
      const look = () => {
        timers.delete(id);
        killJobs.promote(instance).catch((error: unknown) => onError(error, id));
      };
      timers.set(id, setTimeout(look, remaining + OVERDUE_DELAY_MS));
    },
    stop() {
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}
