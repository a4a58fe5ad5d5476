import type { Random } from '@ephemera/test-support';
import type { Moment, FaultInjection } from './fault-injection.ts';

/** A place to strike at. */
export interface Point {
  readonly call: string;
  readonly moment: Moment;
  /** The most that a strike in the middle waits, ms. */
  readonly timeoutMs?: number;
}

const MOMENTS: readonly Moment[] = ['before', 'during', 'after'];

const around = (call: string, timeoutMs?: number): Point[] =>
  MOMENTS.map((moment) => ({ call, moment, ...(timeoutMs !== undefined && { timeoutMs }) }));

const at = (moment: Moment, call: string, timeoutMs?: number): Point => ({
  call,
  moment,
  ...(timeoutMs !== undefined && { timeoutMs }),
});

/** The steps of a worker, in the order in which an instance meets them, with where each is struck. */
export const WORKER_STEPS: Readonly<Record<string, readonly Point[]>> = {
  reserve: around('instances.assignToHost'),
  job: around('killJobs.schedule'),
  create: around('docker.createContainer', 20),
  start: around('container.start', 300),
  inspect: around('container.inspect'),
  probe: around('probe'),
  publish: around('instances.markReady'),
  mark: [at('before', 'instances.startDraining'), at('during', 'instances.startDraining', 1)],
  invalidate: [at('after', 'instances.startDraining'), at('before', 'containers.removeInstance')],
  drain: [at('during', 'container.stop', 500)],
  stop: [at('before', 'container.stop'), at('after', 'container.stop')],
  remove: around('container.remove', 50),
  release: around('instances.finalize'),
  refill: [...around('intake.createWarm'), at('before', 'spawns.add'), at('after', 'spawns.add')],
  admit: [at('after', 'startQueue.dequeue'), at('before', 'startQueue.dequeue')],
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
  claim: [
    ...around('intake.claimWarm'),
    ...around('killJobs.schedule'),
    ...around('refills.request'),
  ],
  create: [...around('intake.createOrQueue'), ...around('spawns.add')],
  kill: [...around('instances.startDraining'), ...around('killRequests.enqueueNow')],
  renew: around('leases.renew'),
  drain: [at('before', 'drain')],
};

/** The strike of a step's nth run: its points in turn, the rest by chance. */
export function faultAt(
  points: readonly Point[],
  run: number,
  random: Random,
  signal: FaultInjection['signal'],
): FaultInjection {
  const point = points[run % points.length];
  if (!point) throw new Error('a step without points');
  const { call, moment, timeoutMs = 2 } = point;
  return { call, moment, nth: 1 + random(2), delay: random(timeoutMs + 1), signal };
}
