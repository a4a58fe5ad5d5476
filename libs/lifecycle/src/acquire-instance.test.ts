import type { Instance } from '@ephemera/domain';
import { memoryInstances, sampleDraft } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import type { ClaimResult, CreationContext } from './ports.ts';
import { acquireInstance } from './acquire-instance.ts';

/** A pool with these instances, of which some do not answer; notes everything that is done. */
async function fixture(options: { warm: number; dead?: readonly number[] }) {
  const done: string[] = [];
  const instances = memoryInstances();
  const warm: Instance[] = [];
  for (let i = 0; i < options.warm; i++) {
    const { id, generation } = await instances.create(sampleDraft());
    await instances.assignToHost(id, generation, 'a');
    await instances.markReady(id, generation, '10.0.0.9');
    const instance = await instances.get(id);
    if (instance) warm.push(instance);
  }
  const nameOf = (id: string) => {
    const at = warm.findIndex((instance) => instance.id === id);
    return at === -1 ? 'new' : `warm ${at}`;
  };
  const orders: CreationContext[] = [];
  let claims = 0;
  const note = (what: string) => {
    done.push(what);
    return Promise.resolve();
  };
  return {
    done,
    warm,
    orders,
    nameOf,
    ports: {
      instances,
      intake: {
        claimWarm: async (
          _pool: string,
          _wish: unknown,
          context: CreationContext,
        ): Promise<ClaimResult> => {
          orders.push(context);
          await note('claim');
          const instance = warm[claims++];
          return instance ? { kind: 'claimed', instance } : { kind: 'none' };
        },
        createOrQueue: async (
          draft: Parameters<typeof instances.create>[0],
          context: CreationContext,
        ) => {
          orders.push(context);
          return { kind: 'created' as const, instance: await instances.create(draft) };
        },
      },
      spawns: { add: ({ id }: { id: string }) => note(`spawn ${nameOf(id)}`) },
      killJobs: {
        schedule: ({ id }: { id: string }, delay: number) => note(`arm ${nameOf(id)} in ${delay}`),
        cancel: ({ id }: { id: string }) => note(`disarm ${nameOf(id)}`),
      },
      killRequests: { enqueueNow: ({ id }: { id: string }) => note(`finish ${nameOf(id)}`) },
      isReachable: ({ id }: Instance) =>
        Promise.resolve(!options.dead?.includes(warm.findIndex((instance) => instance.id === id))),
      refills: { request: (template: string) => note(`refill ${template}`) },
      onError: (error: unknown) => void note(`fault ${String(error)}`),
    },
  };
}

test('a warm one is handed out with a kill job before it and a refill after it', async () => {
  const { ports, done, warm } = await fixture({ warm: 1 });
  const acquired = await acquireInstance(ports, sampleDraft(), {}, 'pool');
  expect(acquired).toEqual({ kind: 'claimed', instance: warm[0] });
  expect(done).toEqual(['claim', 'arm warm 0 in 60000', 'disarm warm 0', 'refill demo']);
});

test('one that does not answer is ended, and the next takes its place under the same key', async () => {
  const { ports, warm, orders } = await fixture({ warm: 2, dead: [0] });
  const idempotency = { key: 'k', digest: 'd' };
  const acquired = await acquireInstance(ports, sampleDraft(), { idempotency }, 'pool');
  expect(acquired).toEqual({ kind: 'claimed', instance: warm[1] });
  expect(await ports.instances.get(warm[0]?.id ?? '')).toMatchObject({
    state: 'draining',
    reason: 'exited',
  });
  expect(orders.map(({ replacing }) => replacing)).toEqual([undefined, warm[0]?.id]);
});

test('where none answers from here, a new one is started', async () => {
  const { ports, done, orders, warm } = await fixture({ warm: 5, dead: [0, 1, 2, 3, 4] });
  const acquired = await acquireInstance(ports, sampleDraft(), {}, 'pool');
  expect(acquired.kind).toBe('created');
  expect(done.filter((text) => text === 'claim')).toHaveLength(3);
  expect(done.at(-1)).toBe('spawn new');
  expect(orders.at(-1)?.replacing).toBe(warm[2]?.id);
});

test('without a pool no claim is tried', async () => {
  const { ports, done } = await fixture({ warm: 1 });
  expect((await acquireInstance(ports, sampleDraft(), {})).kind).toBe('created');
  expect(done).toEqual(['spawn new']);
});

test('what fails after the claim is told, and the visitor keeps his instance', async () => {
  const { ports, done } = await fixture({ warm: 1 });
  const refills = { request: () => Promise.reject(new Error('Redis is away')) };
  const acquired = await acquireInstance({ ...ports, refills }, sampleDraft(), {}, 'pool');
  expect(acquired.kind).toBe('claimed');
  await new Promise((resolve) => setImmediate(resolve));
  expect(done.at(-1)).toBe('fault Error: Redis is away');
});
