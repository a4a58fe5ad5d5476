import type { KillJob } from '@ephemera/queue';

/** What a list of jobs says of each: whose it is, and of a kill, when it is due. */
export function jobName({ name, data }: { name: string; data: unknown }): string {
  const { id, dueAt } = shownData(data) as Partial<KillJob>;
  return [name, id, dueAt && `due ${dueAt}`].filter(Boolean).join(' · ');
}

/** The fields of a job that are for people. What else it may come to carry is not shown. */
export function shownData(data: unknown): Record<string, unknown> {
  return only(['id', 'generation', 'dueAt'], data);
}

export function shownResult(result: unknown): unknown {
  return result === null ? null : only(['kind', 'reason', 'message'], result);
}

function only(names: readonly string[], given: unknown): Record<string, unknown> {
  if (typeof given !== 'object' || given === null) return {};
  return Object.fromEntries(Object.entries(given).filter(([name]) => names.includes(name)));
}
