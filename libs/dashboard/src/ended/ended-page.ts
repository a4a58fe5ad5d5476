import type { ConfigIssue } from '@ephemera/config';
import { endReasonSchema } from '@ephemera/contract';
import { isPlannedEnd } from '@ephemera/domain';
import type { EndReason, Instance } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';
import type { LogLine } from '@ephemera/lifecycle';
import type { Store } from '@ephemera/store';
import { hintText } from '../instances/instances-table.ts';
import { configBanner } from '../pages/config-banner.ts';
import { layout } from '../pages/layout.ts';
import { queryString } from '../pages/query-string.ts';
import { ago, moment } from '../pages/times.ts';

/** How many ended instances one page lists, and how many last lines it shows of each. */
const LIMIT = 25;
const LINES = 10;

export interface EndedQuery {
  readonly before?: string | undefined;
  readonly template?: string | undefined;
  readonly reason?: EndReason | undefined;
}

interface EndedView {
  readonly now: number;
  readonly items: readonly (Instance & { readonly lines: readonly LogLine[] })[];
  readonly nextBefore: string | undefined;
}

/** Reads the tombstones of one page, with the last lines of their logs. */
export async function readEnded(
  { instances, logArchive }: Pick<Store, 'instances' | 'logArchive'>,
  query: EndedQuery,
): Promise<EndedView> {
  const [now, { items, nextBefore }] = await Promise.all([
    instances.now(),
    instances.listEnded({ ...query, limit: LIMIT }),
  ]);
  const logs = await Promise.all(items.map(({ id }) => logArchive.read(id)));
  const withLines = items.map((item, i) => ({ ...item, lines: (logs[i] ?? []).slice(-LINES) }));
  return { now, items: withLines, nextBefore };
}

export function endedPage(
  { now, items, nextBefore }: EndedView,
  query: EndedQuery,
  issues: readonly ConfigIssue[],
): string {
  const next = queryString({ ...query, before: nextBefore });
  return layout({
    title: 'Ended instances',
    here: 'ended',
    body: html` ${configBanner(issues)}
      <h1>Ended instances</h1>
      <p class="soft">Instances are listed here until their records expire.</p>
      ${filter(query)}
      ${
        items.length === 0
          ? html`<p class="empty">No ended instance is on this page.</p>`
          : html`<ul class="failures">
              ${items.map((item) => row(item, now))}
            </ul>`
      }
      <nav class="pages" aria-label="Pages">
        ${query.before !== undefined && html`<a href="/dashboard/ended">Latest</a>`}
        ${
          nextBefore !== undefined &&
          html`<a href="/dashboard/ended?${next}" rel="next">Earlier</a>`
        }
      </nav>`,
  });
}

function filter({ template, reason }: EndedQuery): Html {
  return html`<form class="toolbar filter" role="search" aria-label="Filter ended instances">
    <label
      >Template
      <input
        type="text"
        name="template"
        value="${template ?? ''}"
        autocomplete="off"
        spellcheck="false"
    /></label>
    <label
      >Reason
      <select name="reason">
        <option value="">any</option>
        ${endReasonSchema.options.map(
          (name) =>
            html`<option value="${name}" ${name === reason && html`selected`}>${name}</option>`,
        )}
      </select></label
    >
    <button class="quiet">Apply</button>
  </form>`;
}

function row(instance: EndedView['items'][number], now: number): Html {
  const { id, template, state, reason, message, hint, lastTransitionAt, lines } = instance;
  return html`<li>
    <span class="state ${reason !== undefined && !isPlannedEnd(reason) ? 'failed' : 'gone'}"
      >${reason ?? state}</span
    >
    <a href="/dashboard/instances/${id}"><code>${id}</code></a> ${template.name}
    <span class="soft">${moment(lastTransitionAt, ago(now - lastTransitionAt))}</span>
    ${message && html`<p class="soft message">${message}</p>`} ${hint && hintText(hint)}
    ${
      lines.length > 0 &&
      html`<details id="log-${id}">
        <summary>Last ${lines.length} lines of the log</summary>
        <pre class="cure"><code>${lines.map(({ text }) => text)}</code></pre>
      </details>`
    }
  </li>`;
}
