import { dueAt, formatDuration, landingUrl } from '@ephemera/domain';
import type { Hint, Instance } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';

/** Renders the table of live instances. @param now on the store's clock */
export function instancesTable(items: readonly Instance[], now: number): Html {
  return html`<div class="scroll" role="region" aria-label="Table of live instances" tabindex="0">
    <table>
      <thead>
        <tr>
          <th scope="col">Id</th>
          <th scope="col">Template</th>
          <th scope="col">State</th>
          <th scope="col">Host</th>
          <th scope="col">Created</th>
          <th scope="col">Time left</th>
          <th scope="col"><span class="unseen">Action</span></th>
        </tr>
      </thead>
      <tbody>
        ${items.map((instance) => row(instance, now))}
      </tbody>
    </table>
  </div>`;
}

function row(instance: Instance, now: number): Html {
  const { id, template, state, queued, reason, message, hint, host, createdAt } = instance;
  return html`<tr>
    <th scope="row">${name(instance)}</th>
    <td>${template.name}</td>
    <td>
      <span class="state ${state}">${state}</span>
      ${queued === true && html`<span class="soft">queued</span>`}
      ${reason && html`<span class="soft">${reason}</span>`}
      ${message && html`<span class="soft message">${message}</span>`} ${hint && hintText(hint)}
    </td>
    <td>${host ?? html`<span class="soft">none yet</span>`}</td>
    <td>${moment(createdAt, ago(now - createdAt))}</td>
    <td>${timeLeft(instance, now)}</td>
    <td class="act">${state !== 'draining' && endForm(id)}</td>
  </tr>`;
}

/** The probable cause of a failed start or an exit, and the lines of the template that cure it. */
export function hintText({ text, cure }: Hint): Html {
  return html`<span class="soft message"><strong>Hint:</strong> ${text}</span> ${
      cure !== undefined && html`<pre class="cure"><code>${cure}</code></pre>`
    }`;
}

/** Only a ready instance has a link, because only it can be opened. */
function name(instance: Instance): Html {
  const { id, state } = instance;
  const url = landingUrl(instance);
  const code = html`<code>${id}</code>`;
  const open = state === 'ready' && /^https?:\/\//.test(url);
  return open ? html`<a href="${url}" target="_blank" rel="noreferrer">${code}</a>` : code;
}

function timeLeft(instance: Instance, now: number): Html {
  const { state, expiresAt } = instance;
  if (state === 'draining') return html`<span class="soft">ending</span>`;
  const due = dueAt(instance);
  const rest = moment(due, left(due - now));
  if (state === 'warm') return html`${rest} <span class="soft">unless claimed</span>`;
  if (state !== 'ready') return html`${rest} <span class="soft">to be ready</span>`;
  return due < expiresAt ? html`${rest} <span class="soft">unless used</span>` : rest;
}

function moment(at: number, text: string): Html {
  const iso = new Date(at).toISOString();
  return html`<time datetime="${iso}" title="${iso}">${text}</time>`;
}

function endForm(id: string): Html {
  return html`<form
    method="post"
    action="/dashboard/instances/${id}/end"
    data-confirm="End instance ${id}?"
  >
    <button id="end-${id}" class="end">End<span class="unseen"> instance ${id}</span></button>
  </form>`;
}

/** Formats how long ago something was. @param ms the age */
export function ago(ms: number): string {
  return ms < 1000 ? 'just now' : `${coarse(ms)} ago`;
}

/** Formats the remaining time of a lease, or how long it is overdue. */
export function left(ms: number): string {
  return ms > 0 ? coarse(Math.max(ms, 1000)) : `overdue by ${coarse(Math.max(-ms, 1000))}`;
}

/** Rounds to whole seconds below an hour, and to whole minutes above. */
function coarse(ms: number): string {
  const unit = ms < 3_600_000 ? 1000 : 60_000;
  return formatDuration(Math.floor(ms / unit) * unit);
}
