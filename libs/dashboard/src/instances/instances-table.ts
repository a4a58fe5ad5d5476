import { dueAt, landingUrl } from '@ephemera/domain';
import type { Hint, Instance } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';
import { ago, left, moment } from '../pages/times.ts';

/** Renders the table of live instances. @param now on the store's clock */
export function instancesTable(
  items: readonly Instance[],
  now: number,
  mayChange: (instance: Instance) => boolean,
): Html {
  return html`<div class="scroll" role="region" aria-label="Table of live instances" tabindex="0">
    <table>
      <thead>
        <tr>
          <th scope="col"><span class="unseen">Selected</span></th>
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
        ${items.map((instance) => row(instance, now, mayChange(instance)))}
      </tbody>
    </table>
  </div>`;
}

function row(instance: Instance, now: number, isChangeable: boolean): Html {
  const { id, template, state, queued, reason, message, hint, host, createdAt } = instance;
  return html`<tr>
    <td class="select">
      ${isChangeable && html`<input type="checkbox" form="bulk" name="id" value="${id}" id="select-${id}" aria-label="Select instance ${id}" />`}
    </td>
    <th scope="row">
      <a href="/dashboard/instances/${id}"><code>${id}</code></a>
    </th>
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
    <td class="act">
      ${openLink(instance)} ${isChangeable && state !== 'draining' && endForm(id)}
    </td>
  </tr>`;
}

/** The probable cause of a failed start or an exit, and the lines of the template that cure it. */
export function hintText({ text, cure }: Hint): Html {
  return html`<span class="soft message"><strong>Hint:</strong> ${text}</span> ${
      cure !== undefined && html`<pre class="cure"><code>${cure}</code></pre>`
    }`;
}

/** Only a ready instance can be opened. */
function openLink(instance: Instance): Html | undefined {
  const { id, state } = instance;
  const url = landingUrl(instance);
  if (state !== 'ready' || !/^https?:\/\//.test(url)) return undefined;
  return html`<a href="${url}" target="_blank" rel="noreferrer"
    >Open<span class="unseen"> instance ${id}</span></a
  >`;
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

function endForm(id: string): Html {
  return html`<form
    method="post"
    action="/dashboard/instances/${id}/end"
    data-confirm="End instance ${id}?"
  >
    <button id="end-${id}" class="end">End<span class="unseen"> instance ${id}</span></button>
  </form>`;
}
