import { Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import type { Logger } from './logger.ts';

export { Counter, Gauge, Histogram } from 'prom-client';
export type { Registry } from 'prom-client';

/** The metrics of one app, including those of its process. Names begin with `ephemera_`. */
export function createMetrics(app: string): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ app });
  collectDefaultMetrics({ register: registry });
  return registry;
}

/**
 * Lets one read set several gauges. The registry collects all metrics at the same time, so a read by
 * one of them would give the others the values of the previous scrape.
 *
 * @param collect sets the gauges. If it rejects, the scrape fails
 */
export function collectTogether(gauges: readonly Gauge[], collect: () => Promise<void>): void {
  let running: Promise<void> | undefined;
  const once = () =>
    (running ??= collect().finally(() => {
      running = undefined;
    }));
  for (const gauge of gauges) Object.assign(gauge, { collect: once });
}

/**
 * Logs a change of the clock skew: the local clock differs from the Redis clock, or agrees with it
 * again.
 */
export function logClockSkew(logger: Logger, skewMs: number, isSkewed: boolean): void {
  const seconds = Math.round(skewMs) / 1000;
  if (isSkewed)
    logger.warn(
      { seconds },
      'the local clock differs from the Redis clock; synchronize both with NTP',
    );
  else logger.info({ seconds }, 'the local clock agrees with the Redis clock again');
}

export function registerClockSkewMetric(registry: Registry, skewMs: () => number): void {
  new Gauge({
    name: 'ephemera_clock_skew_seconds',
    help: 'Local clock minus Redis clock, seconds',
    registers: [registry],
    collect() {
      this.set(skewMs() / 1000);
    },
  });
}

/** @param isCurrent whether the configuration file as it is now is in force */
export function registerConfigMetric(registry: Registry, isCurrent: () => boolean): void {
  new Gauge({
    name: 'ephemera_config_last_reload_successful',
    help: 'Whether the configuration file is in force as it is now; 0: it has errors, and an earlier version is in force',
    registers: [registry],
    collect() {
      this.set(isCurrent() ? 1 : 0);
    },
  });
}
