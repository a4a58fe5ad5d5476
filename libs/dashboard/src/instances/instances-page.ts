import type { ConfigIssue } from '@ephemera/config';
import { STATES, allows, isDead, isOwner } from '@ephemera/domain';
import type { Instance, Principal, State } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';
import type { Cordon, HostStatus, Store } from '@ephemera/store';
import type { HostAction } from '../dashboard-routes.ts';
import { layout } from '../pages/layout.ts';
import { configBanner } from '../pages/config-banner.ts';
import { ago } from '../pages/times.ts';
import { bulkForm } from './bulk.ts';
import { filterForm, isCostly, queryOf, readListed } from './instances-filter.ts';
import type { Filter, Listed } from './instances-filter.ts';
import { hintText, instancesTable } from './instances-table.ts';

export type Notice =
  /** `id` of the instance or the host. */
  | { readonly kind: 'ending' | 'absent' | 'host' | 'unchanged'; readonly id: string }
  /** Of several instances. */
  | {
      readonly kind: 'changed';
      readonly changed: number;
      readonly skipped: number;
      /** Ids of those whose change failed. */
      readonly failed: readonly string[];
    };

export type OverviewPorts = Pick<Store, 'instances' | 'hosts' | 'hostRegistry' | 'countStates'>;

/** The data of the instances page. Times are epoch milliseconds of the store's clock. */
export interface Overview {
  readonly now: number;
  readonly states: Readonly<Partial<Record<State, number>>>;
  readonly listed: Listed;
  readonly filter: Filter;
  readonly isFirst: boolean;
  readonly principal: Principal;
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

/** How often an open page refreshes itself, in seconds: a list, and a search that reads many instances. */
const REFRESH = 5;
const REFRESH_SEARCH = 30;

export interface OverviewQuery {
  readonly cursor: number;
  readonly offset: number;
  readonly filter: Filter;
  readonly principal: Principal;
}

export async function readOverview(
  { instances, hosts, hostRegistry, countStates }: OverviewPorts,
  { cursor, offset, filter, principal }: OverviewQuery,
): Promise<Overview> {
  const now = await instances.now();
  const [states, listed, failures, statuses] = await Promise.all([
    countStates(),
    readListed(instances, filter, { cursor, offset, limit: LIMIT }),
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
  const isFirst = cursor === 0 && offset === 0;
  return { now, states, listed, filter, isFirst, principal, failures, hosts: registered };
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
      ${filterForm(
        overview.filter,
        overview.hosts.map(({ host }) => host),
      )}
      <div id="live" data-refresh="${isCostly(overview.filter) ? REFRESH_SEARCH : REFRESH}">
        ${configBanner(issues)}${live(overview)}
      </div>`,
  });
}

function noticeText(notice: Notice): Html {
  if (notice.kind === 'changed') {
    const { changed, skipped, failed } = notice;
    return html`${changed} ${changed === 1 ? 'instance was' : 'instances were'}
    changed${skipped > 0 && `, ${skipped} not: they had ended, cannot be extended, or are not yours`}.
    ${failed.length > 0 && failedText(failed)}`;
  }
  const { kind, id } = notice;
  if (kind === 'host') return html`The host <code>${id}</code> was changed.`;
  if (kind === 'unchanged') {
    return html`The host <code>${id}</code> was not changed: the page showed an earlier state of it.`;
  }
  return kind === 'ending'
    ? html`Instance <code>${id}</code> is being ended.`
    : html`Instance <code>${id}</code> does not exist, or had ended already.`;
}

function failedText(ids: readonly string[]): Html {
  return html`These failed because of an error, which the log of the dashboard names. Check them,
  and try again:
  ${ids.map((id) => html`<a href="/dashboard/instances/${id}"><code>${id}</code></a> `)}`;
}

function live(overview: Overview): Html {
  const { states, listed, failures, hosts, now, principal } = overview;
  const { items } = listed;
  const mayChange = (instance: Instance) =>
    allows(principal, 'admin') || isOwner(principal, instance);
  const isAdmin = allows(principal, 'admin');
  const total = LIVE.reduce((sum, state) => sum + (states[state] ?? 0), 0);
  return html` <dl class="tiles">
      ${tile('live', total)} ${LIVE.map((state) => tile(state, states[state] ?? 0))}
    </dl>
    <section aria-labelledby="instances-title">
      <h2 id="instances-title" class="unseen">Live instances</h2>
      ${resultText(listed, overview.filter)} ${items.some(mayChange) && bulkForm()}
      ${items.length > 0 ? instancesTable(items, now, mayChange) : empty(overview)}
      ${pages(overview)}
    </section>
    ${failures.length > 0 && failuresSection(failures, now)}
    <section aria-labelledby="hosts-title">
      <h2 id="hosts-title">Hosts</h2>
      ${
        hosts.length > 0
          ? html`<ul class="hosts">
              ${hosts.map((host) => hostItem(host, now, isAdmin))}
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

function empty({ isFirst, filter }: Overview): Html {
  if (Object.values(filter).some(Boolean)) {
    return html`<p class="empty">No live instance on this page matches.</p>`;
  }
  return isFirst
    ? html`<p class="empty">
        No live instances. An instance is listed from its creation until its container is removed.
      </p>`
    : html`<p class="empty">No instance is left on this page.</p>`;
}

function resultText({ total, isPartial }: Listed, { host, meta }: Filter): Html | undefined {
  if (meta !== undefined) {
    return html`<p class="soft">A search by metadata lists the oldest instances first.</p>`;
  }
  if (total === undefined) return undefined;
  return html`<p class="soft">
    ${total} ${total === 1 ? 'instance matches' : 'instances match'}. ${isPartial && partial(host)}
  </p>`;
}

function partial(host: string | undefined): string {
  return host === undefined
    ? 'There are too many instances to search all. Name a host to search only that one.'
    : 'The host has too many instances to search all of them, so some matches are missing.';
}

function pages({ isFirst, listed, filter }: Overview): Html | undefined {
  const { next } = listed;
  if (isFirst && next === undefined) return undefined;
  const label = filter.order === undefined || filter.order === 'oldest' ? 'Newer' : 'Next';
  return html`<nav class="pages" aria-label="Pages">
    ${!isFirst && html`<a href="/dashboard/instances${queryOf(filter)}">First page</a>`}
    ${next && html`<a href="/dashboard/instances${queryOf(filter, next)}" rel="next">${label}</a>`}
  </nav>`;
}

function hostItem(item: Overview['hosts'][number], now: number, isAdmin: boolean): Html {
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
    ${isAdmin && !cordon && hostForm(host, 'cordon', 'Cordon')}
    ${isAdmin && !cordon?.drain && hostForm(host, 'drain', 'Drain')}
    ${isAdmin && cordon && hostForm(host, 'uncordon', 'Use again')}
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
    <button class="quiet" id="${action}-${host}">
      ${label}<span class="unseen"> ${host}</span>
    </button>
  </form>`;
}
