import type { KillRequests, KillJobs } from '@ephemera/lifecycle';

export interface ScheduledKill {
  readonly id: string;
  readonly generation: number;
  readonly host: string;
  /** Epoch milliseconds. */
  readonly dueAt: number;
}

export interface MemoryKillJobs extends KillJobs, KillRequests {
  /** The jobs that wait, by due time. */
  scheduled(): ScheduledKill[];
  /** Takes out the jobs that are due by the clock, of one host or of all, as a worker does. */
  takeDue(host?: string): ScheduledKill[];
  /** What was taken out is done, or waits again for so many ms. Until then it cannot be armed anew. */
  done(job: ScheduledKill, again?: number): void;
  /** What a worker of the host had taken out, and died on, is due again. */
  takeBack(host: string): void;
  /** Gives what goes back to how it is now. */
  save(): () => void;
}

/** Kill jobs in memory: one a host for each generation of an id, however often it is armed. */
export function memoryKillJobs(now: () => number = Date.now): MemoryKillJobs {
  const jobs = new Map<string, ScheduledKill & { readonly running: boolean }>();
  const keyOf = (job: { id: string; generation: number; host?: string | undefined }) =>
    `${job.host ?? ''} ${job.id}-${job.generation}`;
  const waits = (key: string) => jobs.get(key)?.running === false;
  const put = (job: ScheduledKill, running: boolean) => jobs.set(keyOf(job), { ...job, running });
  const schedule: KillJobs['schedule'] = async ({ id, generation, host }, delay) => {
    await Promise.resolve();
    if (host === undefined) throw new Error(`instance ${id} has no host yet`);
    const job = { id, generation, host, dueAt: now() + delay };
    if (!jobs.has(keyOf(job))) put(job, false);
  };
  const cancel: KillJobs['cancel'] = async ({ id, supersedes, host }) => {
    await Promise.resolve();
    if (supersedes === undefined) return;
    const key = keyOf({ id, generation: supersedes, host });
    if (waits(key)) jobs.delete(key);
  };
  const promote: KillJobs['promote'] = async (instance) => {
    await Promise.resolve();
    const job = jobs.get(keyOf(instance));
    if (job?.running === false) put({ ...job, dueAt: Math.min(job.dueAt, now()) }, false);
  };
  const scheduled = () =>
    [...jobs.values()]
      .filter(({ running }) => !running)
      .map(({ id, generation, host, dueAt }) => ({ id, generation, host, dueAt }))
      .sort((a, b) => a.dueAt - b.dueAt);
  return {
    schedule,
    cancel,
    promote,
    async listDelayed(host) {
      await Promise.resolve();
      return scheduled().filter((job) => job.host === host);
    },
    async enqueueNow(instance) {
      await schedule(instance, 0);
      await cancel(instance);
    },
    scheduled,
    takeDue(host) {
      const due = scheduled().filter(
        (job) => job.dueAt <= now() && (host === undefined || job.host === host),
      );
      for (const job of due) put(job, true);
      return due;
    },
    done(job, again) {
      if (again === undefined) jobs.delete(keyOf(job));
      else put({ ...job, dueAt: now() + again }, false);
    },
    takeBack(host) {
      for (const job of jobs.values()) {
        if (job.host === host && job.running) put({ ...job, dueAt: now() }, false);
      }
    },
    save() {
      const before = [...jobs];
      return () => {
        jobs.clear();
        for (const [key, job] of before) jobs.set(key, job);
      };
    },
  };
}
