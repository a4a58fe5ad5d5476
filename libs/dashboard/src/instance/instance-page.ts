import type { ConfigIssue } from '@ephemera/config';
import { dueAt, endpointOf, isDead, landingUrl, portAddresses } from '@ephemera/domain';
import type { EventType, Instance, InstanceWarning, Route } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Fragment, Html } from '@ephemera/http';
import { containerName } from '@ephemera/lifecycle';
import type { KillJobStatus } from '@ephemera/queue';
import type { TimelineEntry } from '@ephemera/store';
import { EXTENSIONS } from '../dashboard-routes.ts';
import type { INSTANCE_NOTICES } from '../dashboard-routes.ts';
import { hintText } from '../instances/instances-table.ts';
import { configBanner } from '../pages/config-banner.ts';
import { factList, limitsText, section } from '../pages/facts.ts';
import { layout } from '../pages/layout.ts';
import { ago, left, moment } from '../pages/times.ts';

/** What the page of an instance shows. Times are epoch milliseconds of the store's clock. */
export interface InstanceView {
  readonly instance: Instance;
  readonly now: number;
  readonly timeline: readonly TimelineEntry[];
  readonly killJob: KillJobStatus | undefined;
  readonly warnings: readonly InstanceWarning[];
  readonly route: Route | undefined;
  readonly namespace: string;
  /** Whether the principal may extend, pause, resume and end it. */
  readonly mayChange: boolean;
}

const NOTICES: Readonly<Record<(typeof INSTANCE_NOTICES)[number], string>> = {
  extended: 'The lease was extended.',
  maximum: 'The lease was extended to its maximum. No further extension is possible.',
  paused: 'The instance is paused.',
  resumed: 'The instance is running again.',
  ending: 'The instance is being ended.',
};

/** Renders the page of an instance. Its script refreshes `#live`, follows the log and draws the charts. */
export function instancePage(
  view: InstanceView,
  issues: readonly ConfigIssue[],
  notice: (typeof INSTANCE_NOTICES)[number] | undefined,
): string {
  const { instance } = view;
  const { id, template } = instance;
  const hasContainer = instance.host !== undefined && !isDead(instance.state);
  return layout({
    title: `${template.title ?? template.name} ${id}`,
    here: 'instances',
    script: 'instance.js',
    style: 'uplot.css',
    body: html` <p class="trail"><a href="/dashboard/instances">Instances</a></p>
      <div class="head">
        <h1>${template.title ?? template.name} <code class="id">${id}</code></h1>
        <label class="follow" hidden
          ><input type="checkbox" id="follow" checked /> Keep up to date</label
        >
      </div>
      <p id="notice" class="notice" role="status">${notice && NOTICES[notice]}</p>
      <div id="live">${configBanner(issues)} ${live(view)}</div>
      ${hasContainer && usage(id)} ${log(id)}`,
  });
}

function live(view: InstanceView): Html {
  const { instance, mayChange, warnings, now } = view;
  const { state, reason, message, hint } = instance;
  return html`<div class="summary">
      <p>
        <span class="state ${state}">${state}</span>
        ${reason && html`<span>${REASONS[reason]}</span>`}
      </p>
      ${message && html`<p class="soft message">${message}</p>`} ${hint && hintText(hint)}
      ${warnings.map(
        ({ detail, at }) =>
          html`<p class="notice warning">${detail} <span class="soft">${ago(now - at)}</span></p>`,
      )}
    </div>
    ${mayChange && actions(instance)}
    <div class="columns">
      ${lease(view)} ${timelineSection(view)} ${facts(view)} ${routeSection(view)} ${killJob(view)}
      ${environment(instance)} ${metadata(instance)}
    </div>`;
}

const REASONS: Readonly<Record<NonNullable<Instance['reason']>, string>> = {
  ttl: 'Its time to live has passed.',
  idle: 'It was not used for its idle timeout.',
  request: 'It was ended on request.',
  exited: 'Its container exited.',
  oom: 'Its container exceeded its memory limit.',
  start_failed: 'Its start failed.',
  orphan: 'It waited in a pool, and Redis may have lost a claim of it.',
  host_drained: 'Its host was drained.',
  replaced: 'A newer instance has its name.',
};

function actions(instance: Instance): Html | undefined {
  const { id, state, expiresAt, maxExpiresAt, template } = instance;
  const isServed = state === 'ready' || state === 'paused';
  if (isDead(state) || state === 'draining') return undefined;
  const url = landingUrl(instance);
  const canExtend = isServed && expiresAt < maxExpiresAt;
  return html`<div class="actions" role="group" aria-label="Actions">
    ${
      state === 'ready' &&
      /^https?:\/\//.test(url) &&
      html`<a class="button" href="${url}" target="_blank" rel="noreferrer"
        >Open ${template.title ?? template.name}</a
      >`
    }
    ${
      canExtend &&
      html`<form method="post" action="/dashboard/instances/${id}/extend">
        ${Object.entries(EXTENSIONS).map(
          ([by, ms]) =>
            html`<button class="quiet" id="extend-${by}" name="by" value="${by}">
              ${ms === Infinity ? 'Extend to the maximum' : `Extend by ${by}`}
            </button> `,
        )}
      </form>`
    }
    ${state === 'ready' && form(id, 'pause', 'Pause')}
    ${state === 'paused' && form(id, 'resume', 'Resume')}
    <form
      method="post"
      action="/dashboard/instances/${id}/end?from=instance"
      data-confirm="End instance ${id}?"
    >
      <button class="end" id="end">End</button>
    </form>
  </div>`;
}

function form(id: string, action: string, label: string): Html {
  return html`<form method="post" action="/dashboard/instances/${id}/${action}">
    <button class="quiet" id="${action}">${label}</button>
  </form>`;
}

function lease({ instance, now }: InstanceView): Html {
  const { state, expiresAt, maxExpiresAt, template } = instance;
  if (isDead(state) || state === 'draining') {
    return section('Lease', factList([['Ended', exact(now, instance.lastTransitionAt)]]));
  }
  const due = dueAt(instance);
  const isServed = state === 'ready' || state === 'warm' || state === 'paused';
  return section(
    'Lease',
    html`<p class="countdown">
        <span role="timer" data-left="${due - now}">${left(due - now)}</span>
        <span class="soft"
          >${isServed ? (due < expiresAt ? 'left, unless used' : 'left') : 'to be ready'}</span
        >
      </p>
      ${factList([
        [isServed ? 'Deadline' : 'Start deadline', exact(now, expiresAt)],
        ['Latest deadline', exact(now, maxExpiresAt)],
        ['Idle timeout', template.idleTimeout === undefined ? 'none' : left(template.idleTimeout)],
        ['At the deadline', template.onTimeout === 'pause' ? 'paused' : 'ended'],
      ])}`,
  );
}

const STEPS: Readonly<Record<EventType, string>> = {
  pending: 'created',
  starting: 'assigned to a host',
  warm: 'ready in its pool',
  ready: 'ready',
  paused: 'paused',
  resumed: 'resumed',
  renewed: 'lease renewed',
  expiring: 'expiry notice sent',
  exec: 'command started',
  files: 'files changed',
  draining: 'end started',
  gone: 'container removed',
  failed: 'start failed',
};

function timelineSection({ timeline, instance, now }: InstanceView): Html {
  const { reason } = instance;
  return section(
    'Timeline',
    timeline.length === 0
      ? html`<p class="soft">No changes are recorded.</p>`
      : html`<ol class="timeline">
          ${timeline.map(
            ({ type, at }) =>
              html`<li class="${type}">
                <span>${STEPS[type]}</span> ${exact(now, at)}
                ${type === 'draining' && reason && html`<span class="soft">${reason}</span>`}
              </li>`,
          )}
        </ol>`,
  );
}

function facts({ instance, namespace }: InstanceView): Html {
  const { template, host, owner, pool } = instance;
  return section(
    'Container',
    factList([
      ['Template', template.name],
      ['Image', html`<code>${template.image}</code>`],
      ['Host', host ?? 'none yet'],
      [
        'Name',
        host !== undefined && html`<code>${containerName(namespace, started(instance))}</code>`,
      ],
      ['Address', instance.address !== undefined && html`<code>${instance.address}</code>`],
      ['Limits', limitsText(template.limits)],
      ['Started by', owner],
      ['Pool', pool !== undefined && 'not claimed yet'],
    ]),
  );
}

/** The generation that names the container. The end of an instance gives it a later one. */
function started(instance: Instance): Pick<Instance, 'id' | 'generation'> {
  const { id, state, generation, supersedes } = instance;
  const isEnding = isDead(state) || state === 'draining';
  return { id, generation: isEnding ? (supersedes ?? generation) : generation };
}

function routeSection({ instance, route }: InstanceView): Html {
  const isLinked = (url: string) => /^https?:\/\//.test(url);
  const urls = Object.entries(portAddresses(instance)).map(
    ([name, { port, url }]): [string, Fragment] => [
      `${name} (${port})`,
      isLinked(url) && route?.state === 'ready'
        ? html`<a href="${url}" target="_blank" rel="noreferrer">${url}</a>`
        : html`<code>${url}</code>`,
    ],
  );
  const endpoint = route?.state === 'ready' && endpointOf(route, route.port);
  const upstream =
    endpoint && html`<code>${endpoint.address}:${endpoint.port}</code> on ${route.host}`;
  return section(
    'Route',
    factList([
      ['Answer', route === undefined ? 'no route: 404' : ANSWERS[route.state]],
      ['Generation', route?.generation],
      ['Upstream', upstream],
      [
        'Access',
        route?.access === undefined ? 'everybody who knows the id' : 'with the access token',
      ],
      ...urls,
    ]),
  );
}

const ANSWERS: Readonly<Record<Route['state'], string>> = {
  pending: 'waiting page',
  starting: 'waiting page',
  ready: 'forwarded',
  paused: 'paused',
  draining: 'ended: 410',
  gone: 'ended: 410',
  failed: 'failed: 410',
};

function killJob({ killJob: job, now }: InstanceView): Html {
  return section(
    'Kill job',
    job === undefined
      ? html`<p class="soft">There is none now.</p>`
      : html`${factList([
            ['State', job.state],
            ['Runs', job.runsAt !== undefined && exact(now, job.runsAt)],
            ['Attempts', job.attempts],
            ['Last error', job.error],
          ])}
          <p>
            <a href="/dashboard/queues/queue/${job.queue}/${encodeURIComponent(job.jobId)}"
              >Job ${job.jobId}</a
            >
          </p>`,
  );
}

/** Values may be secrets, so only the names are shown. */
function environment({ env, template }: Instance): Html {
  const names = [...new Set([...Object.keys(template.env), ...Object.keys(env)])].sort();
  return section(
    'Environment',
    names.length === 0
      ? html`<p class="soft">No variables are set.</p>`
      : html`<ul class="names">
            ${names.map(
              (name) =>
                html`<li>
                  <code>${name}</code>
                  <span class="soft"
                    >${Object.hasOwn(env, name) ? 'by its creation' : 'by the template'}</span
                  >
                </li>`,
            )}
          </ul>
          <p class="soft">Values are not shown, because they may be secrets.</p>`,
  );
}

function metadata({ metadata: entries }: Instance): Html {
  const rows = Object.entries(entries);
  return section('Metadata', rows.length === 0 ? html`<p class="soft">None.</p>` : factList(rows));
}

function usage(id: string): Html {
  const chart = (name: string, title: string) =>
    html`<figure class="chart" id="chart-${name}">
      <figcaption>${title} <output class="reading">not read yet</output></figcaption>
      <div class="plot" aria-hidden="true"></div>
    </figure>`;
  return html`<section
    aria-labelledby="usage-title"
    id="usage"
    data-url="/dashboard/instances/${id}/usage"
  >
    <h2 id="usage-title">Usage</h2>
    <p id="usage-notice" class="soft">Read every 2 seconds while this page is open.</p>
    <div class="charts">
      ${chart('cpu', 'CPU')} ${chart('memory', 'Memory')} ${chart('network', 'Network')}
    </div>
  </section>`;
}

function log(id: string): Html {
  const url = `/dashboard/instances/${id}/log`;
  return html`<section aria-labelledby="log-title">
    <h2 id="log-title">Log</h2>
    <div class="toolbar">
      <label>Search <input type="search" id="log-search" autocomplete="off" /></label>
      <label><input type="checkbox" id="log-follow" checked /> Follow</label>
      <a href="${url}.txt" download>Download</a>
      <span id="log-notice" class="soft" role="status"></span>
    </div>
    <div id="log" class="log" role="region" aria-label="Log lines" tabindex="0" data-url="${url}">
      <noscript>Without scripts, use “Download”.</noscript>
    </div>
  </section>`;
}

/** A time as its distance from now. */
function exact(now: number, at: number): Html {
  return moment(at, at > now ? `in ${left(at - now)}` : ago(now - at));
}
