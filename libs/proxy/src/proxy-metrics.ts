import type { Server } from 'node:net';
import { promisify } from 'node:util';
import { Counter, Gauge } from '@ephemera/process';
import type { Registry } from '@ephemera/process';
import type { RouteCache } from '@ephemera/store';
import type { ConnectionRefusal } from './data-plane/connection-limits.ts';
import type { UpstreamErrorReason } from './data-plane/upstream/connection.ts';

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
