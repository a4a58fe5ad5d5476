import type { Random } from '@ephemera/test-support';
import type { Moment, Strike } from './strike.ts';

/** A place to strike at. */
export interface Point {
  readonly call: string;
  readonly moment: Moment;
  /** The most that a strike in the middle waits, ms. */
  readonly within?: number;
}

const MOMENTS: readonly Moment[] = ['before', 'during', 'after'];

const around = (call: string, within?: number): Point[] =>
  MOMENTS.map((moment) => ({ call, moment, ...(within !== undefined && { within }) }));

const at = (moment: Moment, call: string, within?: number): Point => ({
  call,
  moment,
  ...(within !== undefined && { within }),
});

/** The steps of a worker, in the order in which an instance meets them, with where each is struck. */
export const WORKER_STEPS: Readonly<Record<string, readonly Point[]>> = {
  reserve: around('instances.begin'),
  job: around('kills.arm'),
  create: around('docker.createContainer', 20),
  start: around('container.start', 300),
  inspect: around('container.inspect'),
  probe: around('probe'),
  publish: around('instances.publish'),
  mark: [at('before', 'instances.end'), at('during', 'instances.end', 1)],
  invalidate: [at('after', 'instances.end'), at('before', 'containers.removeInstance')],
  drain: [at('during', 'container.stop', 500)],
  stop: [at('before', 'container.stop'), at('after', 'container.stop')],
  remove: around('container.remove', 50),
  release: around('instances.bury'),
  refill: [...around('intake.stock'), at('before', 'spawns.add'), at('after', 'spawns.add')],
  admit: [at('after', 'line.admit'), at('before', 'line.admit')],
  reconcile: [at('after', 'containers.list'), at('after', 'instances.ofHost')],
  webhook: [
    ...around('deliver'),
    at('after', 'events.take'),
    ...around('deliveries.add'),
    ...around('events.done'),
  ],
};

/** What a replica is asked for. Its drain is struck from outside, at any moment. */
export const PROXY_STEPS: Readonly<Record<string, readonly Point[]>> = {
  claim: [...around('intake.claim'), ...around('kills.arm'), ...around('refills.request')],
  create: [...around('intake.take'), ...around('spawns.add')],
  kill: [...around('instances.end'), ...around('ends.finish')],
  renew: around('leases.renew'),
  drain: [at('before', 'drain')],
};

/** The strike of a step's nth run: its points in turn, the rest by chance. */
export function strikeAt(
  points: readonly Point[],
  run: number,
  random: Random,
  signal: Strike['signal'],
): Strike {
  const point = points[run % points.length];
  if (!point) throw new Error('a step without points');
  const { call, moment, within = 2 } = point;
  return { call, moment, nth: 1 + random(2), delay: random(within + 1), signal };
}
