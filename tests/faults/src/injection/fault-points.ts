import type { Random } from '@ephemera/test-support';
import type { PortCall } from './port-calls.ts';
import type { Fault, Moment } from './process-plan.ts';

/** A call at which a fault is injected. */
export interface FaultPoint {
  readonly call: PortCall;
  readonly moment: Moment;
  /** Longest delay of a fault with the moment `during`, ms. */
  readonly timeoutMs?: number;
}

const MOMENTS: readonly Moment[] = ['before', 'during', 'after'];

const around = (call: PortCall, timeoutMs?: number): FaultPoint[] =>
  MOMENTS.map((moment) => ({ call, moment, ...(timeoutMs !== undefined && { timeoutMs }) }));

const at = (moment: Moment, call: PortCall, timeoutMs?: number): FaultPoint => ({
  call,
  moment,
  ...(timeoutMs !== undefined && { timeoutMs }),
});

/**
 * The steps of a worker, in the order of the lifecycle of an instance, each with its fault points.
 */
export const WORKER_STEPS: Readonly<Record<string, readonly FaultPoint[]>> = {
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

/** The operations of a proxy. For `drain`, the scenario kills the proxy from outside. */
export const PROXY_STEPS: Readonly<Record<string, readonly FaultPoint[]>> = {
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

/**
 * The fault of one run of a step. The runs go through the points in order; `nth` and `delay` are
 * random.
 */
export function faultAt(
  points: readonly FaultPoint[],
  run: number,
  random: Random,
  signal: Fault['signal'],
): Fault {
  const point = points[run % points.length];
  if (!point) throw new Error('a step without points');
  const { call, moment, timeoutMs = 2 } = point;
  return { call, moment, nth: 1 + random(2), delay: random(timeoutMs + 1), signal };
}
