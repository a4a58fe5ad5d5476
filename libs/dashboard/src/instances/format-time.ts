import { formatDuration } from '@ephemera/domain';

/** How long ago something was, `ms` milliseconds, as people say it. */
export function ago(ms: number): string {
  return ms < 1000 ? 'just now' : `${coarse(ms)} ago`;
}

/** How much is left of a lease, or by how much it is overdue. */
export function left(ms: number): string {
  return ms > 0 ? coarse(Math.max(ms, 1000)) : `overdue by ${coarse(Math.max(-ms, 1000))}`;
}

/** Whole seconds below an hour, whole minutes above. */
function coarse(ms: number): string {
  const unit = ms < 3_600_000 ? 1000 : 60_000;
  return formatDuration(Math.floor(ms / unit) * unit);
}
