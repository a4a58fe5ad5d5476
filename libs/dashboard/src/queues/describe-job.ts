import type { KillJob, RefillJob, WebhookJob } from '@ephemera/queue';

/** The displayed fields of a webhook delivery. */
interface ShownJob {
  readonly webhook: string;
  readonly type: string;
}

/** Returns the displayed name of a job: its object and, for a kill, its due time. */
export function jobName({ name, data }: { name: string; data: unknown }): string {
  const shown = shownData(data) as Partial<KillJob & RefillJob & ShownJob>;
  const { webhook, type, id, template, dueAt } = shown;
  const parts = [name, webhook, type, id, template, dueAt && `due ${dueAt}`];
  return parts.filter(Boolean).join(' · ');
}

/** Returns the fields of a job that are displayed. Other fields may hold secrets. */
export function shownData(data: unknown): Record<string, unknown> {
  const { webhook, event } = (data ?? {}) as Partial<WebhookJob>;
  if (event) return { webhook, ...only(['type', 'id', 'reason', 'template', 'seq'], event) };
  return only(['id', 'generation', 'dueAt', 'template', 'entry'], data);
}

export function shownResult(result: unknown): unknown {
  return result === null ? null : only(['kind', 'reason', 'message', 'status'], result);
}

function only(names: readonly string[], input: unknown): Record<string, unknown> {
  if (typeof input !== 'object' || input === null) return {};
  return Object.fromEntries(Object.entries(input).filter(([name]) => names.includes(name)));
}
