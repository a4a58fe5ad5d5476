import type { ConfigIssue } from '@ephemera/config';
import { EVENT_TYPES } from '@ephemera/domain';
import type { EventType, InstanceEvent } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';
import type { LatestPage } from '@ephemera/store';
import { configBanner } from '../pages/config-banner.ts';
import { layout } from '../pages/layout.ts';
import { queryString } from '../pages/query-string.ts';
import { ago, moment } from '../pages/times.ts';

export interface EventsQuery {
  readonly before?: string | undefined;
  readonly template?: string | undefined;
  readonly type?: EventType | undefined;
}

/** How many events one page lists. */
export const MAX_EVENTS_SHOWN = 100;

/** Renders the latest events. The script refreshes the first page, so that it shows new ones. */
export function eventsPage(
  { items, nextBefore }: LatestPage<InstanceEvent>,
  now: number,
  query: EventsQuery,
  issues: readonly ConfigIssue[],
): string {
  const earlier = queryString({ ...query, before: nextBefore });
  return layout({
    title: 'Events',
    here: 'events',
    script: 'live.js',
    body: html` <div class="head">
        <h1>Events</h1>
        <label class="follow" hidden
          ><input type="checkbox" id="follow" checked /> Keep up to date</label
        >
      </div>
      <p id="notice" class="notice" role="status"></p>
      ${filter(query)}
      <div id="live">
        ${configBanner(issues)}
        ${
          items.length === 0
            ? html`<p class="empty">No event on this page matches.</p>`
            : table(items, now)
        }
        <nav class="pages" aria-label="Pages">
          ${query.before !== undefined && html`<a href="/dashboard/events">Latest</a>`}
          ${
            nextBefore !== undefined &&
            html`<a href="/dashboard/events?${earlier}" rel="next">Earlier</a>`
          }
        </nav>
      </div>`,
  });
}

function filter({ template, type }: EventsQuery): Html {
  return html`<form class="toolbar filter" role="search" aria-label="Filter events">
    <label
      >Event
      <select name="type">
        <option value="">any</option>
        ${EVENT_TYPES.map(
          (name) =>
            html`<option value="${name}" ${name === type && html`selected`}>${name}</option>`,
        )}
      </select></label
    >
    <label
      >Template
      <input
        type="text"
        name="template"
        value="${template ?? ''}"
        autocomplete="off"
        spellcheck="false"
    /></label>
    <button class="quiet">Apply</button>
  </form>`;
}

function table(items: readonly InstanceEvent[], now: number): Html {
  return html`<div class="scroll" role="region" aria-label="Table of events" tabindex="0">
    <table>
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col">Event</th>
          <th scope="col">Instance</th>
          <th scope="col">Template</th>
          <th scope="col">Reason</th>
        </tr>
      </thead>
      <tbody>
        ${items.map((event) => row(event, now))}
      </tbody>
    </table>
  </div>`;
}

function row({ time, type, id, template, reason, message }: InstanceEvent, now: number): Html {
  return html`<tr>
    <td>${moment(time, ago(now - time))}</td>
    <td><span class="state ${type}">${type}</span></td>
    <th scope="row">
      <a href="/dashboard/instances/${id}"><code>${id}</code></a>
    </th>
    <td>${template}</td>
    <td>
      ${reason ?? ''} ${message !== undefined && html`<span class="soft message">${message}</span>`}
    </td>
  </tr>`;
}
