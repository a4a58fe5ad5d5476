import type { Instance } from '@ephemera/domain';
import type { KillJobs } from '@ephemera/lifecycle';

export interface OverdueKillTimerOptions {
  readonly killJobs: Pick<KillJobs, 'promote'>;
  /**
   * Instances with more time left are ignored, because the next reconciliation passes them again.
   * Milliseconds.
   */
  readonly timeoutMs: number;
  readonly onError: (error: unknown, id: string) => void;
}

export interface OverdueKillTimer {
  /** Promotes the kill job of an instance if it is late, `remaining` ms from now. */
  watch(instance: Instance, remaining: number): void;
  stop(): void;
}

/** Time after the deadline at which a punctual kill job has started, milliseconds. */
const OVERDUE_DELAY_MS = 250;

/**
 * Promotes overdue kill jobs. BullMQ compares the due time of a job with a worker's wall clock,
 * which may have been set back. These timers use the monotonic clock, and start from the remaining
 * time by the store's clock. The kill still reads the lease itself.
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
      const promote = () => {
        timers.delete(id);
        killJobs.promote(instance).catch((error: unknown) => onError(error, id));
      };
      timers.set(id, setTimeout(promote, remaining + OVERDUE_DELAY_MS));
    },
    stop() {
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}
