import type { KillRequests, KillJobs } from '@ephemera/lifecycle';

export interface ScheduledKill {
  readonly id: string;
  readonly generation: number;
  readonly host: string;
  /** Epoch milliseconds. */
  readonly dueAt: number;
}

export interface MemoryKillJobs extends KillJobs, KillRequests {
  /** The waiting jobs, by due time. */
  scheduled(): ScheduledKill[];
  /** Takes the jobs that are due, of one host or of all, like a worker. */
  takeDue(host?: string): ScheduledKill[];
  /** Finishes a taken job, or delays it by `again` ms. Until then it cannot be scheduled again. */
  done(job: ScheduledKill, again?: number): void;
  /** Makes the jobs due again that a worker of the host had taken when it died. */
  takeBack(host: string): void;
  /** Returns a function that restores the present content. */
  save(): () => void;
}

/** Kill jobs in memory: one per host and generation of an id, however often it is scheduled. */
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
  const scheduled = () =>
    [...jobs.values()]
      .filter(({ running }) => !running)
      .map(({ id, generation, host, dueAt }) => ({ id, generation, host, dueAt }))
      .sort((a, b) => a.dueAt - b.dueAt);
  return {
    schedule,
    cancel,
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
