import type { KillJob, RefillJob } from '@ephemera/queue';

/** What a list of jobs says of each: what it is about, and of a kill, when it is due. */
export function jobName({ name, data }: { name: string; data: unknown }): string {
  const { id, template, dueAt } = shownData(data) as Partial<KillJob & RefillJob>;
  return [name, id, template, dueAt && `due ${dueAt}`].filter(Boolean).join(' · ');
}

/** The fields of a job that are for people. What else it may come to carry is not shown. */
export function shownData(data: unknown): Record<string, unknown> {
  return only(['id', 'generation', 'dueAt', 'template', 'entry'], data);
}

export function shownResult(result: unknown): unknown {
  return result === null ? null : only(['kind', 'reason', 'message'], result);
}

function only(names: readonly string[], given: unknown): Record<string, unknown> {
  if (typeof given !== 'object' || given === null) return {};
  return Object.fromEntries(Object.entries(given).filter(([name]) => names.includes(name)));
}
