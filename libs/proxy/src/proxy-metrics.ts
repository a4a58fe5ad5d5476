import { Counter, Gauge } from '@ephemera/process';
import type { Registry } from '@ephemera/process';
import type { ConnectionRefusal } from './data-plane/connection-limits.ts';
import type { UpstreamErrorReason } from './data-plane/upstream/connection.ts';

/** Registers the gauges of a data plane. They are read when the metrics are collected. */
export function registerDataPlaneMetrics(
  registry: Registry,
  read: { inFlight: () => number; openTunnels: () => number },
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
