import { Counter, Gauge } from '@ephemera/process';
import type { Registry } from '@ephemera/process';

/** Registers what a replica counts of its data path, read when it is asked for. */
export function registerDataPathMetrics(
  registry: Registry,
  read: {
    inFlight: () => number;
    openTunnels: () => number;
    unregisteredRoutes: () => number;
  },
): void {
  const registers = [registry];
  new Gauge({
    name: 'ephemera_requests_in_flight',
    help: 'Requests being forwarded',
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
  new Counter({
    name: 'ephemera_routes_unregistered_total',
    help: 'Connections refused because the host had not registered the address of the route',
    registers,
    collect() {
      this.reset();
      this.inc(read.unregisteredRoutes());
    },
  });
}
