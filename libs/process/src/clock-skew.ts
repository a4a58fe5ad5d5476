import type { Logger } from './logger.ts';
import { Gauge } from './metrics.ts';
import type { Registry } from './metrics.ts';

/** Says once that the clock of this machine is wrong beside the one that all share, and once that it is not any more. */
export function logClockSkew(logger: Logger, skewMs: number, isSkewed: boolean): void {
  const seconds = Math.round(skewMs) / 1000;
  if (isSkewed) logger.warn({ seconds }, "the clock here is ahead of Redis' by so many seconds");
  else logger.info({ seconds }, "the clock here agrees with Redis' again");
}

export function registerClockSkewMetric(registry: Registry, skewMs: () => number): void {
  new Gauge({
    name: 'ephemera_clock_skew_seconds',
    help: "How far this process' wall clock is ahead of Redis'; negative where it is behind",
    registers: [registry],
    collect() {
      this.set(skewMs() / 1000);
    },
  });
}
