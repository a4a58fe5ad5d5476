import type { Instance } from '@ephemera/domain';
import type { Kills } from '@ephemera/lifecycle';

export interface LateKillsOptions {
  readonly kills: Pick<Kills, 'hasten'>;
  /** Whoever has longer than this is told of again before, milliseconds. */
  readonly within: number;
  readonly onFault: (error: unknown, id: string) => void;
}

export interface LateKills {
  /** Sees to it that the kill job of an instance does not wait much longer than `remaining` ms. */
  expect(instance: Instance, remaining: number): void;
  stop(): void;
}

/** A kill job on time has begun by then, milliseconds after its deadline. */
const LATE = 250;

/**
 * Hastens kill jobs that are late. The queue knows when a job is due by the wall clock of a worker,
 * and that may have been set back while the job waited; the timers here run by the monotonic one,
 * from what was left of the lease by the store's clock. Whether it is over the kill itself decides.
 */
export function hastenLateKills({ kills, within, onFault }: LateKillsOptions): LateKills {
  const timers = new Map<string, NodeJS.Timeout>();
  return {
    expect(instance, remaining) {
      const { id } = instance;
      clearTimeout(timers.get(id));
      timers.delete(id);
      if (remaining > within) return;
      const look = () => {
        timers.delete(id);
        kills.hasten(instance).catch((error: unknown) => onFault(error, id));
      };
      timers.set(id, setTimeout(look, remaining + LATE));
    },
    stop() {
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
    },
  };
}
