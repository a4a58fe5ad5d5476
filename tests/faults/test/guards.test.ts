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

// A guard whose removal changes nothing would let a run without it show nothing.

const HOST = 'host';
let server: StartedRedis;
let redis: Redis;
let turn = 0;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url, { maxRetriesPerRequest: null });
});
afterAll(async () => {
  for (const close of closing) await close();
  redis.disconnect();
  await server.stop();
});

/** The ports of a worker that does without some guards, over a namespace of its own. */
function open(without: readonly string[]) {
  const keys = keysOf(`guards-${turn++}`);
  const made = withoutWorkerGuards(workerDependencies, without);
  const { instances } = made.createStore(redis, keys, 60_000);
  const { killJobs, spawns, close } = made.createProducers(redis, keys.queuePrefix);
  closing.push(close);
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

/** A new instance whose container runs, and whose state is `starting`. */
async function started({ instances, containers }: Open): Promise<Instance> {
  const { id, generation } = await instances.create(sampleDraft());
  const begun = await instances.assignToHost(id, generation, HOST);
  if (!begun) throw new Error('it could not be begun');
  await containers.start(
    begun,
    () => Promise.resolve(9),
    () => Promise.resolve(true),
  );
  return begun;
}

async function ready(of: Open): Promise<Instance> {
  const { id, generation } = await started(of);
  await of.instances.markReady(id, generation, '10.0.0.9');
  const instance = await of.instances.get(id);
  if (!instance) throw new Error('it is gone');
  return instance;
}

/** What each guard protects, as a number that differs where it is removed. */
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
    // A container that is as young as the scan is left alone.
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
  'job before tombstone': async (of) => {
    const { id, generation } = await ready(of);
    await of.killJobs.schedule({ id, generation, host: HOST }, 60_000);
    const { instances } = of;
    let jobsAtTombstone = -1;
    const finalize: typeof instances.finalize = async (...args) => {
      jobsAtTombstone = (await of.killJobs.listDelayed(HOST)).length;
      return instances.finalize(...args);
    };
    const { containers, killJobs } = of;
    await kill({ instances: { ...instances, finalize }, containers, killJobs }, id, 'request');
    expect(await of.killJobs.listDelayed(HOST)).toEqual([]);
    return jobsAtTombstone;
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

test('each guard has a case here', () => {
  expect(Object.keys(PROTECTS).sort()).toEqual(Object.keys(GUARDS).sort());
});

test.each(Object.entries(PROTECTS))('%s: its removal takes effect', async (name, observe) => {
  const guarded = await observe(open([]));
  expect(await observe(open([name]))).not.toEqual(guarded);
});

test('a name that is no guard is refused with the names that exist', () => {
  expect(() => withoutWorkerGuards(workerDependencies, ['none'])).toThrow(/no guard none.*orphans/);
});
