import type { ConfigIssue } from '@ephemera/config';
import { STATES, isDead } from '@ephemera/domain';
import type { Instance, State } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';
import type { Cordon, HostStatus, Store } from '@ephemera/store';
import type { HostAction } from '../dashboard-routes.ts';
import { layout } from '../pages/layout.ts';
import { configBanner } from '../pages/config-banner.ts';
import { ago } from '../pages/times.ts';
import { hintText, instancesTable } from './instances-table.ts';

export interface Notice {
  readonly kind: 'ending' | 'absent' | 'host' | 'unchanged';
  /** Of the instance or the host. */
  readonly id: string;
}

export type OverviewPorts = Pick<Store, 'instances' | 'hosts' | 'hostRegistry' | 'countStates'>;

/** The data of the instances page. Times are epoch milliseconds of the store's clock. */
export interface Overview {
  readonly now: number;
  readonly states: Readonly<Partial<Record<State, number>>>;
  readonly items: readonly Instance[];
  readonly cursor: number;
  readonly nextCursor: number | undefined;
  /** The last failed starts and exits, the latest first. */
  readonly failures: readonly Instance[];
  readonly hosts: readonly (HostStatus & {
    readonly networks: readonly string[];
    /** Live instances on it, if it is cordoned; else 0. */
    readonly instances: number;
    readonly cordon: Cordon | undefined;
  })[];
}

/** How many instances one page lists. */
const LIMIT = 50;

export async function readOverview(
  { instances, hosts, hostRegistry, countStates }: OverviewPorts,
  cursor: number,
): Promise<Overview> {
  const now = await instances.now();
  const [states, page, failures, statuses] = await Promise.all([
    countStates(),
    instances.list({ cursor, limit: LIMIT }),
    instances.recentFailures(),
    hosts.hostStatuses(now),
  ]);
  const names = statuses.map(({ host }) => host);
  const [networks, cordons] = await Promise.all([hostRegistry.networksOf(names), hosts.cordons()]);
  // Only of cordoned hosts, because this needs a few commands per host.
  const cordoned = names.filter((host) => cordons.has(host));
  const capacities = await hosts.capacitiesOf(cordoned);
  const left = new Map(cordoned.map((host, i) => [host, capacities[i]?.instances ?? 0]));
  const registered = statuses.map((status, i) => ({
    ...status,
    networks: networks[i] ?? [],
    instances: left.get(status.host) ?? 0,
    cordon: cordons.get(status.host),
  }));
  return { now, states, ...page, failures, cursor, hosts: registered };
}

const LIVE = STATES.filter((state) => !isDead(state));

/** Renders the instances page. Its script refreshes `#live`. */
export function instancesPage(
  overview: Overview,
  issues: readonly ConfigIssue[],
  notice?: Notice,
): string {
  return layout({
    title: 'Instances',
    here: 'instances',
    script: 'live.js',
    body: html` <div class="head">
        <h1>Instances</h1>
        <label class="follow" hidden
          ><input type="checkbox" id="follow" checked /> Keep up to date</label
        >
      </div>
      <p id="notice" class="notice" role="status">${notice && noticeText(notice)}</p>
      <div id="live">${configBanner(issues)}${live(overview)}</div>`,
  });
}

function noticeText({ kind, id }: Notice): Html {
  if (kind === 'host') return html`The host <code>${id}</code> was changed.`;
  if (kind === 'unchanged') {
    return html`The host <code>${id}</code> was not changed: the page showed an earlier state of it.`;
  }
  return kind === 'ending'
    ? html`Instance <code>${id}</code> is being ended.`
    : html`Instance <code>${id}</code> does not exist, or had ended already.`;
}

function live(overview: Overview): Html {
  const { states, items, failures, hosts, now } = overview;
  const total = LIVE.reduce((sum, state) => sum + (states[state] ?? 0), 0);
  return html` <dl class="tiles">
      ${tile('live', total)} ${LIVE.map((state) => tile(state, states[state] ?? 0))}
    </dl>
    <section aria-labelledby="instances-title">
      <h2 id="instances-title" class="unseen">Live instances</h2>
      ${items.length > 0 ? instancesTable(items, now) : empty(overview)} ${pages(overview)}
    </section>
    ${failures.length > 0 && failuresSection(failures, now)}
    <section aria-labelledby="hosts-title">
      <h2 id="hosts-title">Hosts</h2>
      ${
        hosts.length > 0
          ? html`<ul class="hosts">
              ${hosts.map((host) => hostItem(host, now))}
            </ul>`
          : html`<p class="empty">No worker has reported a host yet.</p>`
      }
    </section>`;
}

function failuresSection(failures: readonly Instance[], now: number): Html {
  return html`<section aria-labelledby="failures-title">
    <h2 id="failures-title">Recent failures</h2>
    <ul class="failures">
      ${failures.map((instance) => failureItem(instance, now))}
    </ul>
  </section>`;
}

function failureItem(instance: Instance, now: number): Html {
  const { id, template, state, reason, message, hint, lastTransitionAt } = instance;
  return html`<li>
    <span class="state failed">${reason ?? state}</span>
    <a href="/dashboard/instances/${id}"><code>${id}</code></a> ${template.name}
    <span class="soft">${ago(now - lastTransitionAt)}</span>
    ${message && html`<p class="soft message">${message}</p>`} ${hint && hintText(hint)}
  </li>`;
}

function tile(name: string, count: number): Html {
  return html`<div class="tile ${name}">
    <dt>${name}</dt>
    <dd>${count}</dd>
  </div>`;
}

function empty({ cursor }: Overview): Html {
  return cursor > 0
    ? html`<p class="empty">No instance is left on this page.</p>`
    : html`<p class="empty">
        No live instances. An instance is listed from its creation until its container is removed.
      </p>`;
}

function pages({ cursor, nextCursor }: Overview): Html | undefined {
  if (cursor === 0 && nextCursor === undefined) return undefined;
  return html`<nav class="pages" aria-label="Pages">
    ${cursor > 0 && html`<a href="/dashboard/instances">Oldest</a>`}
    ${nextCursor !== undefined && html`<a href="/dashboard/instances?cursor=${nextCursor}" rel="next">Newer</a>`}
  </nav>`;
}

function hostItem(item: Overview['hosts'][number], now: number): Html {
  const { host, seenAt, alive, networks, instances, cordon } = item;
  return html`<li>
    <span class="state ${alive ? 'ready' : 'failed'}">${alive ? 'alive' : 'unavailable'}</span>
    <strong>${host}</strong> <span class="soft">last heartbeat ${ago(now - seenAt)}</span>
    <span class="soft"
      >${networks.length > 0 ? networks.join(', ') : 'no networks registered'}</span
    >
    ${cordon && html`<span class="state paused">${cordonText(cordon, instances)}</span>`}
    <a href="/dashboard/queues/queue/instance-kill-${host}"
      >kill jobs<span class="unseen"> of ${host}</span></a
    >
    ${!cordon && hostForm(host, 'cordon', 'Cordon')}
    ${!cordon?.drain && hostForm(host, 'drain', 'Drain')}
    ${cordon && hostForm(host, 'uncordon', 'Use again')}
  </li>`;
}

function cordonText({ drain }: Cordon, instances: number): string {
  if (!drain) return 'cordoned';
  return drain.isEmpty && instances === 0 ? 'drained' : `draining, ${instances} left`;
}

function hostForm(host: string, action: HostAction, label: string): Html {
  const question = {
    cordon: `Start no further instances on ${host}?`,
    drain: `Start no further instances on ${host}, and end its warm ones?`,
    uncordon: `Start instances on ${host} again?`,
  }[action];
  return html`<form
    method="post"
    action="/dashboard/hosts/${host}/${action}"
    data-confirm="${question}"
  >
    <button id="${action}-${host}">${label}<span class="unseen"> ${host}</span></button>
  </form>`;
}
