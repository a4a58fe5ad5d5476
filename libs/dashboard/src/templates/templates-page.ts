import type { ConfigIssue, TemplateSet } from '@ephemera/config';
import type { Instance, Template } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';
import type { DeliveryReport, Producers } from '@ephemera/queue';
import type { Store, TemplateUsage } from '@ephemera/store';
import { hintText } from '../instances/instances-table.ts';
import { configBanner } from '../pages/config-banner.ts';
import { factList, limitsText } from '../pages/facts.ts';
import { layout } from '../pages/layout.ts';
import { queryString } from '../pages/query-string.ts';
import { ago, left, moment } from '../pages/times.ts';

/** How many failures are shown of each template, and how many deliveries of each kind. */
const FAILURES = 3;
const DELIVERIES = 10;

/** What the page shows of the configuration file. */
export type Configured = Pick<TemplateSet, 'defaultTemplate' | 'templates' | 'webhooks'>;

/** What the page shows. Times are epoch milliseconds of the store's clock. */
interface TemplatesView {
  readonly now: number;
  readonly templates: readonly (TemplateUsage & {
    readonly template: Template;
    readonly isDefault: boolean;
    /** The last failed starts and exits, the latest first. */
    readonly failures: readonly Instance[];
  })[];
  readonly webhooks: Configured['webhooks'];
  /** Undefined where no webhook is configured. */
  readonly deliveries: DeliveryReport | undefined;
}

export interface TemplatesPorts {
  readonly store: Pick<Store, 'instances' | 'pools' | 'readTemplateUsage'>;
  readonly jobs: Pick<Producers, 'deliveries'>;
}

/** Reads the use of each template, with a few commands for each. */
export async function readTemplatesView(
  { store: { instances, pools, readTemplateUsage }, jobs }: TemplatesPorts,
  configured: Configured | undefined,
): Promise<TemplatesView> {
  const { defaultTemplate, templates, webhooks } = configured ?? {};
  const [now, failures, specs, deliveries] = await Promise.all([
    instances.now(),
    instances.recentFailures(),
    pools.listPoolSpecs(),
    webhooks && webhooks.length > 0 ? jobs.deliveries(DELIVERIES) : undefined,
  ]);
  // Warm instances are counted under the address that the proxies give to them.
  const urls = new Map(specs.map(({ template, urlPattern }) => [template.name, urlPattern]));
  const views = [...(templates?.values() ?? [])].map(async (template) => ({
    ...(await readTemplateUsage(template, urls.get(template.name) ?? '')),
    template,
    isDefault: template === defaultTemplate,
    failures: failures.filter((failed) => failed.template.name === template.name),
  }));
  return { now, templates: await Promise.all(views), webhooks: webhooks ?? [], deliveries };
}

export function templatesPage(view: TemplatesView, issues: readonly ConfigIssue[]): string {
  const { now, templates, webhooks, deliveries } = view;
  return layout({
    title: 'Templates',
    here: 'templates',
    body: html` ${configBanner(issues)}
      <h1>Templates</h1>
      ${
        templates.length === 0
          ? html`<p class="empty">The dashboard has found no configuration file.</p>`
          : html`<div class="columns">
              ${templates.map((template) => templateCard(template, now))}
            </div>`
      }
      ${webhooks.length > 0 && webhooksSection(webhooks, deliveries)}`,
  });
}

function templateCard(view: TemplatesView['templates'][number], now: number): Html {
  const { template, isDefault, instances, queued, wanted, warm, failures } = view;
  const { name, title, description, timeout, maxTimeout, idleTimeout, maxInstances } = template;
  const query = queryString({ template: name });
  const ports = Object.entries(template.ports).map(([port, number]) => `${port} (${number})`);
  return html`<section class="panel" aria-labelledby="template-${name}">
    <h2 id="template-${name}">${title ?? name}</h2>
    <p class="soft"><code>${name}</code>${isDefault && ', the default'}</p>
    ${description && html`<p>${description}</p>`}
    ${factList([
      ['Live', maxInstances === undefined ? instances : `${instances} of ${maxInstances}`],
      ['Queued', template.whenFull === 'queue' ? queued : 'no queue: refused when full'],
      ['Pool', (wanted > 0 || warm > 0) && `${warm} warm of ${wanted}`],
      ['Image', html`<code>${template.image}</code>`],
      ['Ports', ports.join(', ')],
      ['Time to live', `${left(timeout)}, at most ${left(maxTimeout)}`],
      ['Idle timeout', idleTimeout === undefined ? 'none' : left(idleTimeout)],
      ['At the deadline', template.onTimeout === 'pause' ? 'paused' : 'ended'],
      ['Limits', limitsText(template.limits)],
      ['User', template.user ?? 'of the image'],
      ['Root', template.readOnly ? 'read-only' : 'writable'],
      ['Egress', template.egress ? 'allowed' : 'none'],
    ])}
    ${
      failures.length > 0 &&
      html`<h3>Recent failures</h3>
        <ul class="failures">
          ${failures.slice(0, FAILURES).map((failed) => failureItem(failed, now))}
        </ul>`
    }
    <p>
      <a href="/dashboard/instances?${query}"
        >Instances<span class="unseen"> of ${title ?? name}</span></a
      >
      <a href="/dashboard/ended?${query}">Ended<span class="unseen"> of ${title ?? name}</span></a>
    </p>
  </section>`;
}

function failureItem({ id, reason, hint, lastTransitionAt }: Instance, now: number): Html {
  return html`<li>
    <span class="state failed">${reason}</span>
    <a href="/dashboard/instances/${id}"><code>${id}</code></a>
    <span class="soft">${moment(lastTransitionAt, ago(now - lastTransitionAt))}</span>
    ${hint && hintText(hint)}
  </li>`;
}

const QUEUE = '/dashboard/queues/queue/webhook';

function webhooksSection(
  webhooks: Configured['webhooks'],
  deliveries: DeliveryReport | undefined,
): Html {
  const { jobs, troubled = [] } = deliveries ?? {};
  return html`<section aria-labelledby="webhooks-title">
    <h2 id="webhooks-title">Webhooks</h2>
    ${
      jobs &&
      html`<p>
        ${jobs.waiting + jobs.active} waiting, ${jobs.delayed} to be tried again, ${jobs.failed}
        given up. <a href="${QUEUE}">All deliveries, and retries by hand</a>
      </p>`
    }
    <div class="columns">
      ${webhooks.map(
        ({ name, url, events, templates }) =>
          html`<section class="panel" aria-labelledby="webhook-${name}">
            <h3 id="webhook-${name}">${name}</h3>
            ${factList([
              // Without the path, which is a secret of some receivers.
              ['Receiver', html`<code>${new URL(url).origin}</code>`],
              ['Events', events?.join(', ') ?? 'all'],
              ['Templates', templates?.join(', ') ?? 'all'],
            ])}
            ${troubleList(troubled.filter(({ webhook }) => webhook === name))}
          </section>`,
      )}
    </div>
  </section>`;
}

function troubleList(troubled: DeliveryReport['troubled']): Html | undefined {
  if (troubled.length === 0) return undefined;
  return html`<ul class="failures">
    ${troubled.map(
      ({ jobId, event, id, attempts, error, isRetried }) =>
        html`<li>
          <span class="state ${isRetried ? 'paused' : 'failed'}"
            >${isRetried ? 'to be tried again' : 'given up'}</span
          >
          <a href="${QUEUE}/${encodeURIComponent(jobId)}">${event}</a> of
          <a href="/dashboard/instances/${id}"><code>${id}</code></a>
          <span class="soft">${attempts} attempts: ${error}</span>
        </li>`,
    )}
  </ul>`;
}
