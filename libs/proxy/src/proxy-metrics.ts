import type { Server } from 'node:net';
import { promisify } from 'node:util';
import { Counter, Gauge } from '@ephemera/process';
import type { Registry } from '@ephemera/process';
import type { RouteCache, TemplateUsage } from '@ephemera/store';
import type { ConnectionRefusal } from './data-plane/connection-limits.ts';
import type { UpstreamErrorReason } from './data-plane/upstream/connection.ts';

/** How long a scrape waits for Redis, ms. */
const READ_TIMEOUT_MS = 1_000;

/** Registers the gauges of a data plane. They are read when the metrics are collected. */
export function registerDataPlaneMetrics(
  registry: Registry,
  read: {
    inFlight: () => number;
    openTunnels: () => number;
    upstreamConnections: () => number;
  },
): void {
  const registers = [registry];
  new Gauge({
    name: 'ephemera_requests_in_flight',
    help: 'Requests that are being forwarded',
    registers,
    collect() {
      this.set(read.inFlight());
    },
  });
  new Gauge({
    name: 'ephemera_tunnels_open',
    help: 'Open WebSocket and other upgraded connections',
    registers,
    collect() {
      this.set(read.openTunnels());
    },
  });
  new Gauge({
    name: 'ephemera_upstream_connections_open',
    help: 'Open connections to instances, in use or idle, without those of tunnels',
    registers,
    collect() {
      this.set(read.upstreamConnections());
    },
  });
}

/** Registers the number of connections of the public port. */
export function registerConnectionMetric(
  registry: Registry,
  server: Pick<Server, 'getConnections'>,
): void {
  new Gauge({
    name: 'ephemera_client_connections_open',
    help: 'Open connections to the public port',
    registers: [registry],
    async collect() {
      this.set(await promisify(server.getConnections.bind(server))());
    },
  });
}

/** Registers the counters of the route cache and whether Redis answers. */
export function registerRouteMetrics(
  registry: Registry,
  routes: Pick<RouteCache, 'counts' | 'size' | 'connected'>,
): void {
  const registers = [registry];
  const counter = (name: string, help: string, read: () => number) =>
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  counter(
    'ephemera_route_cache_hits_total',
    'Look-ups of a route that memory answered',
    () => routes.counts.hits,
  );
  counter(
    'ephemera_route_cache_misses_total',
    'Look-ups of a route that had to read Redis, or to wait for such a read',
    () => routes.counts.misses,
  );
  counter(
    'ephemera_route_cache_invalidations_total',
    'Changes of routes that Redis has pushed',
    () => routes.counts.invalidations,
  );
  new Gauge({
    name: 'ephemera_route_cache_routes',
    help: 'Routes in memory',
    registers,
    collect() {
      this.set(routes.size);
    },
  });
  new Gauge({
    name: 'ephemera_redis_up',
    help: 'Whether routes can be read from Redis and their changes arrive; 0: known routes are served for `EPHEMERA_REDIS_GRACE`',
    registers,
    collect() {
      this.set(routes.connected ? 1 : 0);
    },
  });
}

/**
 * Registers the instances and pools by template. They are the same in every replica. While Redis does
 * not answer, the gauges keep their last values.
 */
export function registerUsageMetrics(
  registry: Registry,
  read: () => Promise<readonly (TemplateUsage & { readonly template: string })[]>,
): void {
  let usages: Promise<Awaited<ReturnType<typeof read>> | undefined>;
  const gauges = [
    {
      name: 'ephemera_template_instances',
      help: 'Live instances of a template, with warm ones and without queued ones',
      value: ({ instances }: TemplateUsage) => instances,
    },
    {
      name: 'ephemera_template_queued_instances',
      help: 'Instances of a template that wait in the start queue',
      value: ({ queued }: TemplateUsage) => queued,
    },
    {
      name: 'ephemera_pool_warm_instances',
      help: 'Warm instances of a template that can be claimed',
      value: ({ warm }: TemplateUsage) => warm,
    },
    {
      name: 'ephemera_pool_wanted_instances',
      help: 'Warm instances that a template should have',
      value: ({ wanted }: TemplateUsage) => wanted,
    },
  ];
  for (const [i, { name, help, value }] of gauges.entries()) {
    new Gauge({
      name,
      help,
      labelNames: ['template'],
      registers: [registry],
      async collect() {
        // The gauges are collected in this order. The first one reads for all.
        if (i === 0) usages = withinTimeout(read());
        const found = await usages;
        if (!found) return;
        // A template may have been removed from the configuration.
        this.reset();
        for (const usage of found) this.set({ template: usage.template }, value(usage));
      },
    });
  }
}

/** Undefined where Redis does not answer in time. */
async function withinTimeout<T>(answer: Promise<T>): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, READ_TIMEOUT_MS, undefined);
  try {
    return await Promise.race([answer.catch(() => undefined), promise]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Registers the counter of started instances. A warm instance is `claimed`.
 * @returns a function that counts one start
 */
export function countStarts(
  registry: Registry,
): (template: string, kind: 'created' | 'queued' | 'claimed') => void {
  const starts = new Counter({
    name: 'ephemera_starts_total',
    help: 'Instances that clients have started, by template, and by whether each was created, queued, or claimed from a pool',
    labelNames: ['template', 'kind'],
    registers: [registry],
  });
  return (template, kind) => starts.inc({ template, kind });
}

/**
 * Registers the counter of repeated upstream requests.
 * @returns a function that counts one
 */
export function countRetries(registry: Registry): () => void {
  const retries = new Counter({
    name: 'ephemera_upstream_retries_total',
    help: 'Requests that were sent again because the instance had closed the idle connection',
    registers: [registry],
  });
  return () => retries.inc();
}

/**
 * Registers the counter of failed upstream requests. The label `reason` takes the values of
 * `UpstreamErrorReason`.
 *
 * @returns a function that counts one failure
 */
export function countUpstreamFailures(registry: Registry): (reason: UpstreamErrorReason) => void {
  const failures = new Counter({
    name: 'ephemera_upstream_failures_total',
    help: 'Requests that got no complete response from their instance, by reason',
    labelNames: ['reason'],
    registers: [registry],
  });
  return (reason) => failures.inc({ reason });
}

/**
 * Registers the counter of refused connections. The label `reason` takes the values of
 * `ConnectionRefusal`.
 *
 * @returns a function that counts one refusal
 */
export function countRefusedConnections(registry: Registry): (reason: ConnectionRefusal) => void {
  const refusals = new Counter({
    name: 'ephemera_connections_refused_total',
    help: 'Connections and WebSockets over a limit, by reason',
    labelNames: ['reason'],
    registers: [registry],
  });
  return (reason) => refusals.inc({ reason });
}
