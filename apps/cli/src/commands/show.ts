import type { InstanceDetail, InstanceResource } from '@ephemera/contract';
import { formatDuration } from '@ephemera/domain';

/** Formats instances as a table, the oldest first. @param now for the remaining time */
export function showTable(instances: readonly InstanceResource[], now: number): string {
  const rows = instances
    .toSorted((a, b) => a.createdAt.localeCompare(b.createdAt))
    .map((instance) => [
      instance.id,
      instance.template,
      instance.status.state,
      left(instance, now),
      instance.url,
    ]);
  const table = [['ID', 'TEMPLATE', 'STATE', 'LEFT', 'URL'], ...rows];
  const widths = table[0]?.map((_, column) =>
    Math.max(...table.map((row) => row[column]?.length ?? 0)),
  );
  return table
    .map((row) => row.map((cell, column) => cell.padEnd(widths?.[column] ?? 0)).join('  '))
    .map((line) => line.trimEnd())
    .join('\n');
}

/** Formats an instance as lines of `name: value`, with its warnings. */
export function showOne(instance: InstanceDetail, now: number): string {
  const { state, reason, message } = instance.status;
  const lines = {
    id: instance.id,
    template: instance.template,
    state: [state, reason && `(${reason})`, message].filter(Boolean).join(' '),
    url: instance.url,
    created: instance.createdAt,
    left: left(instance, now),
  };
  const warnings = (instance.warnings ?? []).map(
    ({ kind, detail, at }) => ['warning', `${kind} at ${at}: ${detail}`] as const,
  );
  return [...Object.entries(lines), ...warnings]
    .map(([name, value]) => `${`${name}:`.padEnd(10)}${value}`)
    .join('\n');
}

/** Formats the remaining time; `-` unless the instance is ready. */
function left({ status, expiresAt }: InstanceResource, now: number): string {
  if (status.state !== 'ready') return '-';
  return formatDuration(Math.max(0, Date.parse(expiresAt) - now));
}
