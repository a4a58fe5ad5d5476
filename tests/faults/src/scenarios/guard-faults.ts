import { type App, terminate, waitFor } from '@ephemera/test-support';
import { type Fault, type ProcessPlan, countMarks, entryOf } from '../injection/process-plan.ts';
import { create, hasEnded, kill } from '../load/clients.ts';
import type { Testbed } from '../testbed.ts';
import { hasExited } from './worker-killed.ts';

/** The fault that a guard repairs or prevents. */
export interface GuardFault {
  /** The number of warm instances; none by default. */
  readonly pool?: number;
  /**
   * Whether every kill must be counted once. Only for faults after which every worker that has run a
   * kill still runs.
   */
  readonly countsKills?: boolean;
  /** Starts the workers, all without these guards, and injects the fault. */
  inject(testbed: Testbed, without: readonly string[]): Promise<void>;
}

/** Lease of the instances, s. Their deadline must not end them before the verdict. */
const LEASE_S = 300;

/** How long a process may take to reach the call of its fault, ms. */
const DEATH_TIMEOUT_MS = 30_000;

const faultAt = (
  signal: Fault['signal'],
  moment: Exclude<Fault['moment'], 'during'>,
  call: Fault['call'],
): Fault => ({ signal, moment, call, nth: 1, delay: 0 });

const startWorker = ({ site }: Testbed, plan: ProcessPlan): Promise<App> =>
  site.startWorker({ entry: entryOf('worker', plan) });

/** Creates an instance, and waits until it serves. */
async function createReady(testbed: Testbed): Promise<string> {
  const id = await createOne(testbed);
  await waitFor('a ready instance', async () => {
    return (await testbed.readSnapshot()).instances.get(id)?.state === 'ready';
  });
  return id;
}

async function createOne(testbed: Testbed): Promise<string> {
  const id = await create(testbed, 'plain', LEASE_S);
  if (id === undefined) throw new Error('no instance was created');
  return id;
}

/**
 * Sends a request to a proxy that dies at a call. No client repeats the request. The proxy has the ports
 * of the one before, because warm instances are claimed at the address for which they were started.
 */
async function askDyingProxy(
  { site }: Testbed,
  plan: ProcessPlan,
  method: string,
  path: string,
  body?: unknown,
): Promise<void> {
  const before = site.proxies[0];
  if (before) await terminate(before);
  const proxy = await site.startProxy({ entry: entryOf('proxy', plan) }, 0);
  await site.api(method, path, body).catch(() => undefined);
  await mustDie(proxy);
  await site.startProxy({ entry: entryOf('proxy', { without: plan.without ?? [] }) }, 0);
}

async function mustDie(app: App): Promise<void> {
  if (!(await hasExited(app, DEATH_TIMEOUT_MS)))
    throw new Error(`the ${app.name} did not reach the call of its fault`);
}

/**
 * A worker stops at a call while it starts an instance. Meanwhile a client ends the instance, and
 * another worker of the host completes that. Then the first worker continues.
 */
async function endDuringStart(
  testbed: Testbed,
  faults: readonly Fault[],
  without: readonly string[],
): Promise<App> {
  const worker = await startWorker(testbed, { faults, without });
  const id = await createOne(testbed);
  await waitFor('the fault', () => countMarks(worker.log()) > 0);
  await kill(testbed, id);
  await startWorker(testbed, { without });
  await waitFor('the end of the instance', () => hasEnded(testbed, id));
  worker.child.kill('SIGCONT');
  return worker;
}

/** By the name of the guard. */
export const GUARD_FAULTS: Readonly<Record<string, GuardFault>> = {
  /** A proxy dies after a claim, before it schedules the kill job of the claimed instance. */
  're-arming': {
    pool: 1,
    async inject(testbed, without) {
      await startWorker(testbed, { without });
      await waitFor('a warm instance', async () => {
        const { instances } = await testbed.readSnapshot();
        return [...instances.values()].some(({ state }) => state === 'warm');
      });
      const faults = [faultAt('SIGKILL', 'before', 'killJobs.schedule')];
      const wanted = { template: 'pooled', timeout: LEASE_S };
      await askDyingProxy(testbed, { faults, without }, 'POST', '/v1/instances', wanted);
    },
  },

  /** A proxy dies after it has begun a kill, before it requests the removal of the container. */
  finishing: {
    async inject(testbed, without) {
      await startWorker(testbed, { without });
      const id = await createReady(testbed);
      testbed.expectations.killAsked(id);
      const faults = [faultAt('SIGKILL', 'after', 'instances.startDraining')];
      await askDyingProxy(testbed, { faults, without }, 'DELETE', `/v1/instances/${id}`);
    },
  },

  /** A worker creates a container for an instance that has ended meanwhile, and dies. */
  orphans: {
    async inject(testbed, without) {
      const faults = [
        faultAt('SIGSTOP', 'before', 'docker.createContainer'),
        faultAt('SIGKILL', 'before', 'container.start'),
      ];
      await mustDie(await endDuringStart(testbed, faults, without));
    },
  },

  /** A proxy dies after it has created an instance, before it adds the spawn job. */
  'asking again': {
    async inject(testbed, without) {
      await startWorker(testbed, { without });
      const faults = [faultAt('SIGKILL', 'before', 'spawns.add')];
      const wanted = { template: 'plain', timeout: LEASE_S };
      await askDyingProxy(testbed, { faults, without }, 'POST', '/v1/instances', wanted);
    },
  },

  /** A worker marks an instance as ready that has ended meanwhile. */
  'state and generation': {
    async inject(testbed, without) {
      const faults = [faultAt('SIGSTOP', 'before', 'instances.markReady')];
      await endDuringStart(testbed, faults, without);
    },
  },

  /** Two runs of one kill job end the instance at the same time. */
  'counted once': {
    countsKills: true,
    async inject(testbed, without) {
      await startWorker(testbed, { without, twice: 'at once' });
      await kill(testbed, await createReady(testbed));
    },
  },
};
