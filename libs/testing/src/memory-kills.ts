import type { Ends, Kills } from '@ephemera/lifecycle';

export interface ArmedKill {
  readonly id: string;
  readonly generation: number;
  readonly host: string;
  /** Epoch milliseconds. */
  readonly dueAt: number;
}

export interface MemoryKills extends Kills, Ends {
  /** The jobs that wait, by due time. */
  armed(): ArmedKill[];
  /** Takes out the jobs that are due by the clock, as a worker does. */
  takeDue(): ArmedKill[];
}

/** Kill jobs in memory: one for each generation of an id, however often it is armed. */
export function memoryKills(now: () => number = Date.now): MemoryKills {
  const jobs = new Map<string, ArmedKill>();
  const keyOf = (id: string, generation: number) => `${id}-${generation}`;
  const arm: Kills['arm'] = async ({ id, generation, host }, delay) => {
    await Promise.resolve();
    if (host === undefined) throw new Error(`instance ${id} has no host yet`);
    const key = keyOf(id, generation);
    if (!jobs.has(key)) jobs.set(key, { id, generation, host, dueAt: now() + delay });
  };
  const disarm: Kills['disarm'] = async ({ id, supersedes }) => {
    await Promise.resolve();
    if (supersedes !== undefined) jobs.delete(keyOf(id, supersedes));
  };
  const hasten: Kills['hasten'] = async ({ id, generation }) => {
    await Promise.resolve();
    const job = jobs.get(keyOf(id, generation));
    if (job) jobs.set(keyOf(id, generation), { ...job, dueAt: Math.min(job.dueAt, now()) });
  };
  const armed = () => [...jobs.values()].sort((a, b) => a.dueAt - b.dueAt);
  return {
    arm,
    disarm,
    hasten,
    async finish(instance) {
      await arm(instance, 0);
      await disarm(instance);
    },
    armed,
    takeDue() {
      const due = armed().filter(({ dueAt }) => dueAt <= now());
      for (const { id, generation } of due) jobs.delete(keyOf(id, generation));
      return due;
    },
  };
}
