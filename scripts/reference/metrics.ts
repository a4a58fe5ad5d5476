import { createServer } from 'node:net';
import { join } from 'node:path';
import { createMetrics, registerClockSkewMetric, registerConfigMetric } from '@ephemera/process';
import type { Registry } from '@ephemera/process';
import {
  registerHostMetrics,
  registerRedisMemoryMetrics,
  registerUsageMetrics,
} from '../../libs/proxy/src/deployment-metrics.ts';
import {
  countRefusedConnections,
  countRetries,
  countStarts,
  countUpstreamFailures,
  registerConnectionMetric,
  registerDataPlaneMetrics,
  registerRouteMetrics,
} from '../../libs/proxy/src/proxy-metrics.ts';
import { RequestMetrics } from '../../libs/proxy/src/request-metrics.ts';
import { createWorkerMetrics } from '../../libs/worker/src/worker-metrics.ts';
import { blocks, code, generatedFrom, sentence, table } from './markdown.ts';
import { membersOf } from './type-members.ts';

/** The parts of a metric of prom-client that the page shows. */
interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames: readonly string[];
  readonly upperBounds?: readonly number[];
}

const root = join(import.meta.dirname, '../..');

/** The types of the label values. */
const LABEL_VALUES: Readonly<Record<string, readonly [path: string, type: string]>> = {
  ephemera_upstream_failures_total: [
    'libs/proxy/src/data-plane/upstream/connection.ts',
    'UpstreamErrorReason',
  ],
  ephemera_connections_refused_total: [
    'libs/proxy/src/data-plane/connection-limits.ts',
    'ConnectionRefusal',
  ],
  ephemera_docker_errors_total: ['libs/worker/src/docker/docker-errors.ts', 'DockerErrorReason'],
  ephemera_kills_total: ['libs/domain/src/state.ts', 'EndReason'],
  ephemera_spawns_total: ['libs/lifecycle/src/spawn.ts', 'Spawned'],
  ephemera_repairs_total: ['libs/domain/src/reconcile.ts', 'Repair'],
};

function proxyRegistry(): Registry {
  const registry = createMetrics('proxy');
  registerClockSkewMetric(registry, () => 0);
  registerConfigMetric(registry, () => true);
  registerDataPlaneMetrics(registry, {
    inFlight: () => 0,
    openTunnels: () => 0,
    upstreamConnections: () => 0,
  });
  registerConnectionMetric(registry, createServer());
  new RequestMetrics(registry);
  registerRouteMetrics(registry, {
    counts: { hits: 0, misses: 0, invalidations: 0 },
    size: 0,
    connected: true,
  });
  registerUsageMetrics(registry, () => Promise.resolve([]));
  registerHostMetrics(registry, () => Promise.resolve([]));
  registerRedisMemoryMetrics(registry, () => Promise.resolve({ used: 0, limit: 0 }));
  countStarts(registry);
  countRetries(registry);
  countUpstreamFailures(registry);
  countRefusedConnections(registry);
  return registry;
}

function workerRegistry(): Registry {
  const registry = createMetrics('worker');
  registerClockSkewMetric(registry, () => 0);
  registerConfigMetric(registry, () => true);
  createWorkerMetrics(registry, {
    instances: () => Promise.resolve(0),
    overlaps: () => 0,
    eventLog: () => Promise.resolve({ count: 0, max: 1, oldestAt: undefined }),
    deliveries: () => Promise.resolve(0),
    queues: () => Promise.resolve([]),
    now: () => 0,
  });
  return registry;
}

const metricsOf = (registry: Registry): Metric[] =>
  registry.getMetricsAsArray() as unknown as Metric[];

const isOwn = ({ name }: Metric): boolean => name.startsWith('ephemera_');

const labelText = ({ labelNames }: Metric): string =>
  labelNames
    .filter((label) => label !== 'le')
    .map(code)
    .join(', ');

function rowsOf(metrics: readonly Metric[]): string[][] {
  return metrics.map((metric) => [
    code(metric.name),
    metric.type,
    labelText(metric),
    sentence(metric.help),
  ]);
}

const HEAD = ['name', 'type', 'labels', 'meaning'];

function labelValuesText(metrics: readonly Metric[]): string {
  return blocks(
    ...metrics.flatMap((metric) => {
      const values = LABEL_VALUES[metric.name];
      if (!values) return [];
      const [path, type] = values;
      const members = membersOf(join(root, path), type);
      const explained = members.filter(({ comment }) => comment !== '');
      const others = members.filter(({ comment }) => comment === '');
      return [
        `### Values of ${labelText(metric)} in ${code(metric.name)}`,
        explained.map(({ value, comment }) => `- ${code(value)}: ${comment}`).join('\n'),
        others.map(({ value }) => code(value)).join(', '),
      ];
    }),
  );
}

/** @returns the names of the documented metrics of the product */
export function documentedMetrics(): string[] {
  return [...metricsOf(proxyRegistry()), ...metricsOf(workerRegistry())]
    .filter(isOwn)
    .map(({ name }) => name);
}

export function metricsPage(): string {
  const proxy = metricsOf(proxyRegistry());
  const worker = metricsOf(workerRegistry());
  return blocks(
    '# Metrics',
    generatedFrom('the metrics that the processes register'),
    `Proxy and worker serve metrics in the Prometheus text format at \`/metrics\`. The proxy serves them on
its admin port (\`EPHEMERA_ADMIN_PORT\`) and requires a bearer token with the scope \`read\`. The worker serves
them on \`EPHEMERA_WORKER_PORT\` without a token. Every metric has the label \`app\` (\`proxy\` or \`worker\`).
Durations are in seconds.`,
    '## Proxy',
    table(HEAD, rowsOf(proxy.filter(isOwn))),
    labelValuesText(proxy.filter(isOwn)),
    '## Worker',
    table(HEAD, rowsOf(worker.filter(isOwn))),
    labelValuesText(worker.filter(isOwn)),
    '## Alerts and boards',
    `[deploy/prometheus/rules.yml](../../deploy/prometheus/rules.yml) has alert rules, each with a
[runbook](../guides/operating.md#alerts), and \`deploy/grafana\` has boards for Grafana.
[Monitoring](../guides/operating.md#monitoring) shows how to start both.

The log line of a failed request has the same \`reason\` as \`ephemera_upstream_failures_total\`. To see which
instances fail, and how:`,
    `\`\`\`sh
… | jq -c 'select(.reason and .detail) | [.id, .reason, .method, .path, .detail]'
\`\`\``,
    '## Both: the process',
    'Default metrics of `prom-client` about Node and the process.',
    table(HEAD, rowsOf(proxy.filter((metric) => !isOwn(metric)))),
  );
}
