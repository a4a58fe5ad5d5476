import { formatDuration } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';

/** Formats how long ago something was. @param ms the age */
export function ago(ms: number): string {
  return ms < 1000 ? 'just now' : `${coarse(ms)} ago`;
}

/** Formats the remaining time of a lease, or how long it is overdue. */
export function left(ms: number): string {
  return ms > 0 ? coarse(Math.max(ms, 1000)) : `overdue by ${coarse(Math.max(-ms, 1000))}`;
}

/** A time as text, with the exact time for programs and as a tooltip. @param at epoch ms */
export function moment(at: number, text: string): Html {
  const iso = new Date(at).toISOString();
  return html`<time datetime="${iso}" title="${iso}">${text}</time>`;
}

/** Rounds to whole seconds below an hour, and to whole minutes above. */
function coarse(ms: number): string {
  const unit = ms < 3_600_000 ? 1000 : 60_000;
  return formatDuration(Math.floor(ms / unit) * unit);
}
