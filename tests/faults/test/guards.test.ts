import { setTimeout as sleep } from 'node:timers/promises';
import type { Instance } from '@ephemera/domain';
import { kill } from '@ephemera/lifecycle';
import { keysOf } from '@ephemera/store';
import { memoryContainers, sampleDraft, startRedis } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import { workerDependencies } from '@ephemera/worker';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GUARDS, withoutWorkerGuards } from '../src/injection/guards.ts';
import { GUARD_FAULTS } from '../src/scenarios/guard-faults.ts';

// If the removal of a guard had no effect, the scenarios with `--without` would prove nothing.

const HOST = 'host';
let server: StartedRedis;
let redis: Redis;
let turn = 0;
const cleanups: (() => Promise<void>)[] = [];

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url, { maxRetriesPerRequest: null });
});
afterAll(async () => {
  for (const close of cleanups) await close();
  redis.disconnect();
  await server.stop();
});

/** The dependencies of a worker without some guards, with a separate namespace. */
function open(without: readonly string[]) {
  const keys = keysOf(`guards-${turn++}`);
  const made = withoutWorkerGuards(workerDependencies, without);
  const { instances } = made.createStore(redis, keys, 60_000);
  const { killJobs, spawns, close } = made.createProducers(redis, keys.queuePrefix);
  cleanups.push(close);
  const containers = memoryContainers();
  const spawned: string[] = [];
  const killed: Instance[] = [];
  const onKilled = (instance: Instance) => void killed.push(instance);
  return {
    ...{ instances, killJobs, containers, keys, spawned, killed },
    kill: (id: string) => kill({ instances, containers, killJobs, onKilled }, id, 'request'),
    reconcile: () =>
      made.reconcile({
        ...{ host: HOST, instances, containers, killJobs, onKilled },
        spawns: {
          ...spawns,
          add: ({ id }) => {
            spawned.push(id);
            return Promise.resolve();
          },
        },
        onRepair: () => undefined,
        onError: (_kind, _id, error) => {
          throw error;
        },
      }),
  };
}
type Open = ReturnType<typeof open>;

/** Creates an instance with a running container and the state `starting`. */
async function started({ instances, containers }: Open): Promise<Instance> {
  const { id, generation } = await instances.create(sampleDraft());
  const assigned = await instances.assignToHost(id, generation, HOST);
  if (!assigned) throw new Error('the instance could not be assigned');
  await containers.start(
    assigned,
    () => Promise.resolve(9),
    () => Promise.resolve(true),
  );
  return assigned;
}

async function ready(of: Open): Promise<Instance> {
  const { id, generation } = await started(of);
  await of.instances.markReady(id, generation, '10.0.0.9');
  const instance = await of.instances.get(id);
  if (!instance) throw new Error('the instance does not exist');
  return instance;
}

/** For each guard, a value that changes when the guard is removed. */
const PROTECTS: Readonly<Record<string, (of: Open) => Promise<unknown>>> = {
  're-arming': async (of) => {
    await ready(of);
    await of.reconcile();
    return (await of.killJobs.listDelayed(HOST)).length;
  },
  finishing: async (of) => {
    const { id } = await ready(of);
    await of.instances.startDraining(id, 'request');
    await redis.hset(of.keys.instance(id), 'lastTransitionAt', Date.now() - 60_000);
    await of.reconcile();
    return (await of.instances.get(id))?.state;
  },
  orphans: async (of) => {
    const { id } = await ready(of);
    const outcome = await of.instances.startDraining(id, 'request');
    if (outcome.kind === 'draining') await of.instances.finalize(id, outcome.instance.generation);
    // Reconciliation ignores containers that are younger than its scan.
    await sleep(5);
    await of.reconcile();
    return (await of.containers.list()).length;
  },
  'asking again': async (of) => {
    const { id } = await of.instances.create(sampleDraft());
    await redis.hset(of.keys.instance(id), 'lastTransitionAt', Date.now() - 60_000);
    await of.reconcile();
    return of.spawned.length;
  },
  'state and generation': async (of) => {
    const { id, generation } = await started(of);
    await of.instances.startDraining(id, 'request');
    return (await of.instances.markReady(id, generation, '10.0.0.9')) !== undefined;
  },
  'counted once': async (of) => {
    const { id } = await ready(of);
    await Promise.all([of.kill(id), of.kill(id)]);
    return of.killed.length;
  },
};

test('every guard has a case in this file, and a fault in the scenario `guards`', () => {
  expect(Object.keys(PROTECTS).sort()).toEqual(Object.keys(GUARDS).sort());
  expect(Object.keys(GUARD_FAULTS).sort()).toEqual(Object.keys(GUARDS).sort());
});

test.each(Object.entries(PROTECTS))(
  '%s: the removal of the guard has an effect',
  async (name, observe) => {
    const guarded = await observe(open([]));
    expect(await observe(open([name]))).not.toEqual(guarded);
  },
);

test('an unknown guard is refused with the names of all guards', () => {
  expect(() => withoutWorkerGuards(workerDependencies, ['none'])).toThrow(/no guard none.*orphans/);
});
