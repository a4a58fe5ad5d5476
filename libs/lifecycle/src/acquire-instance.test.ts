import { ApiError } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { memoryInstances, sampleDraft, waitFor } from '@ephemera/test-support';
import { describe, expect, test } from 'vitest';
import type { ClaimResult, CreationContext, Withdrawable, WithdrawalReason } from './ports.ts';
import { NotSentError } from './ports.ts';
import { acquireInstance } from './acquire-instance.ts';

/** A pool with these instances, some of which do not answer. `done` records all calls. */
async function fixture(options: {
  warm: number;
  dead?: readonly number[];
  unconfirmed?: boolean;
  failedWithdrawals?: number;
}) {
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
  const contexts: CreationContext[] = [];
  let claims = 0;
  let failures = options.failedWithdrawals ?? 0;
  const record = (what: string) => {
    done.push(what);
    return Promise.resolve();
  };
  return {
    done,
    warm,
    contexts,
    nameOf,
    instances,
    ports: {
      instances: {
        finalize: async (id: string, generation: number) => {
          await record(`finalize ${nameOf(id)}`);
          return instances.finalize(id, generation);
        },
      },
      intake: {
        claimWarm: async (
          _pool: string,
          _spec: unknown,
          context: CreationContext,
        ): Promise<ClaimResult> => {
          contexts.push(context);
          await record('claim');
          const instance = warm[claims++];
          return instance ? { kind: 'claimed', instance } : { kind: 'none' };
        },
        createOrQueue: async (
          draft: Parameters<typeof instances.create>[0],
          context: CreationContext,
        ) => {
          contexts.push(context);
          return { kind: 'created' as const, instance: await instances.create(draft) };
        },
        confirm: async ({ id }: Pick<Instance, 'id'>) => {
          await record(`confirm ${nameOf(id)}`);
          if (options.unconfirmed === true) throw new ApiError({ kind: 'store_unavailable' });
        },
        withdraw: async (
          withdrawn: Withdrawable,
          { grants = [], idempotency }: Pick<CreationContext, 'grants' | 'idempotency'>,
          reason: WithdrawalReason,
        ) => {
          const used = [...grants.map(({ name }) => name), idempotency?.key ?? []].flat().join();
          const id = 'generation' in withdrawn ? withdrawn.id : undefined;
          const name = id === undefined ? 'attempt' : nameOf(id);
          await record(`withdraw ${reason} ${name}: ${used}`);
          if (failures-- > 0) throw new Error('Redis is unavailable');
          if (id === undefined) return { kind: 'absent' as const };
          return instances.startDraining(id, reason === 'unreachable' ? 'exited' : 'request');
        },
      },
      spawns: { add: ({ id }: { id: string }) => record(`spawn ${nameOf(id)}`) },
      killJobs: {
        schedule: ({ id }: { id: string }, delay: number) =>
          record(`schedule ${nameOf(id)} in ${delay}`),
        cancel: ({ id }: { id: string }) => record(`cancel ${nameOf(id)}`),
      },
      killRequests: { enqueueNow: ({ id }: { id: string }) => record(`enqueue ${nameOf(id)}`) },
      isReachable: ({ id }: Instance) =>
        Promise.resolve(!options.dead?.includes(warm.findIndex((instance) => instance.id === id))),
      refills: { request: (template: string) => record(`refill ${template}`) },
      onError: (error: unknown) => void record(`error ${String(error)}`),
    },
  };
}

test('a warm instance gets its kill job before it is handed out, and the pool is refilled after it', async () => {
  const { ports, done, warm } = await fixture({ warm: 1 });
  const acquired = await acquireInstance(ports, sampleDraft(), {}, 'pool');
  expect(acquired).toEqual({ kind: 'claimed', instance: warm[0] });
  expect(done).toEqual([
    'claim',
    'schedule warm 0 in 60000',
    'cancel warm 0',
    'refill demo',
    'confirm warm 0',
  ]);
});

test('a client learns of an instance only after its record and its job are confirmed', async () => {
  const { ports, done } = await fixture({ warm: 0, unconfirmed: true });
  const idempotency = { key: 'k', digest: 'd' };
  const acquired = acquireInstance(ports, sampleDraft(), { idempotency });
  await expect(acquired).rejects.toThrow('store_unavailable');
  expect(done).toEqual(['spawn new', 'confirm new']);
});

const grants = [{ kind: 'link' as const, name: 'link:a', max: 1, expiresAt: 1 }];

test('without an idempotency key, what is not confirmed ends, and its grants get their use back', async () => {
  const created = await fixture({ warm: 0, unconfirmed: true });
  await expect(acquireInstance(created.ports, sampleDraft(), { grants })).rejects.toThrow(
    'store_unavailable',
  );
  expect(created.done).toEqual([
    ...['spawn new', 'confirm new'],
    ...['withdraw unconfirmed new: link:a', 'finalize new'],
  ]);
  const claimed = await fixture({ warm: 1, unconfirmed: true });
  await expect(acquireInstance(claimed.ports, sampleDraft(), { grants }, 'pool')).rejects.toThrow(
    'store_unavailable',
  );
  expect(claimed.done.slice(-2)).toEqual(['withdraw unconfirmed warm 0: link:a', 'enqueue warm 0']);
});

test('what has no job is withdrawn too', async () => {
  const { ports, done } = await fixture({ warm: 0 });
  const spawns = { add: () => Promise.reject(new Error('Redis is unavailable')) };
  const acquired = acquireInstance({ ...ports, spawns }, sampleDraft(), { grants });
  await expect(acquired).rejects.toThrow('unavailable');
  expect(done).toEqual(['withdraw unconfirmed new: link:a', 'finalize new']);
});

test('a withdrawal is repeated until the store is available', async () => {
  const { ports, done } = await fixture({ warm: 0, unconfirmed: true, failedWithdrawals: 2 });
  await expect(acquireInstance(ports, sampleDraft(), { grants })).rejects.toThrow(
    'store_unavailable',
  );
  await waitFor('the withdrawal', () => done.includes('finalize new'));
  expect(done.filter((text) => text.startsWith('withdraw'))).toHaveLength(3);
});

// The first request may have ended without a confirmation.
test('the instance of a repeated request is confirmed too', async () => {
  const { ports, done, warm } = await fixture({ warm: 1 });
  const intake = {
    ...ports.intake,
    createOrQueue: () =>
      Promise.resolve({ kind: 'repeated' as const, id: warm[0]?.id ?? '', instance: warm[0] }),
  };
  await acquireInstance({ ...ports, intake }, sampleDraft(), {});
  expect(done).toEqual(['confirm warm 0']);
});

test('an unreachable instance is withdrawn with all that it used, before the next one is claimed', async () => {
  const { ports, done, warm, instances } = await fixture({ warm: 2, dead: [0] });
  const idempotency = { key: 'k', digest: 'd' };
  const acquired = await acquireInstance(ports, sampleDraft(), { idempotency, grants }, 'pool');
  expect(acquired).toEqual({ kind: 'claimed', instance: warm[1] });
  expect(await instances.get(warm[0]?.id ?? '')).toMatchObject({
    state: 'draining',
    reason: 'exited',
  });
  const withdrawn = done.indexOf('withdraw unreachable warm 0: link:a,k');
  expect(done.slice(withdrawn + 1, done.lastIndexOf('claim') + 1)).toEqual([
    ...['enqueue warm 0', 'cancel warm 0', 'refill demo', 'claim'],
  ]);
});

test('an unreachable instance that cannot be withdrawn now is withdrawn later, with its key', async () => {
  const { ports, done } = await fixture({ warm: 1, dead: [0], failedWithdrawals: 1 });
  const idempotency = { key: 'k', digest: 'd' };
  const acquired = acquireInstance(ports, sampleDraft(), { idempotency }, 'pool');
  await expect(acquired).rejects.toThrow('unavailable');
  await waitFor('the withdrawal', () => done.includes('enqueue warm 0'));
  const withdrawals = done.filter((text) => text.startsWith('withdraw'));
  expect(withdrawals).toEqual(Array(2).fill('withdraw unreachable warm 0: k'));
});

describe('a call whose reply is lost', () => {
  const lost = () => Promise.reject(new Error('Command timed out'));

  test('is withdrawn by its attempt, unless a repetition gets the same instance', async () => {
    for (const call of ['createOrQueue', 'claimWarm'] as const) {
      const { ports, done } = await fixture({ warm: 0 });
      const intake = { ...ports.intake, [call]: lost };
      const acquired = acquireInstance({ ...ports, intake }, sampleDraft(), { grants }, 'pool');
      await expect(acquired).rejects.toThrow('timed out');
      expect(done.at(-1)).toBe('withdraw unconfirmed attempt: link:a');
      const idempotency = { key: 'k', digest: 'd' };
      const repeatable = { ...ports, intake };
      await expect(
        acquireInstance(repeatable, sampleDraft(), { idempotency }, 'pool'),
      ).rejects.toThrow('timed out');
      expect(done.filter((text) => text.startsWith('withdraw'))).toHaveLength(1);
    }
  });

  test('is not withdrawn if it was never sent', async () => {
    const { ports, done } = await fixture({ warm: 0 });
    const createOrQueue = () => Promise.reject(new NotSentError('no connection'));
    const intake = { ...ports.intake, createOrQueue };
    const acquired = acquireInstance({ ...ports, intake }, sampleDraft(), { grants });
    await expect(acquired).rejects.toThrow('no connection');
    expect(done).toEqual([]);
  });

  test('has an attempt of its own, also after a claim of the same request', async () => {
    const { ports, contexts } = await fixture({ warm: 1, dead: [0] });
    await acquireInstance(ports, sampleDraft(), {}, 'pool');
    const attempts = contexts.map(({ attempt }) => attempt);
    expect(attempts).toHaveLength(3);
    expect(new Set(attempts).size).toBe(3);
    expect(attempts).not.toContain(undefined);
  });
});

test('if no warm instance answers, a new one is started', async () => {
  const { ports, done } = await fixture({ warm: 5, dead: [0, 1, 2, 3, 4] });
  const acquired = await acquireInstance(ports, sampleDraft(), {}, 'pool');
  expect(acquired.kind).toBe('created');
  expect(done.filter((text) => text === 'claim')).toHaveLength(3);
  expect(done.slice(-2)).toEqual(['spawn new', 'confirm new']);
});

test('without a pool, no claim is attempted', async () => {
  const { ports, done } = await fixture({ warm: 1 });
  expect((await acquireInstance(ports, sampleDraft(), {})).kind).toBe('created');
  expect(done).toEqual(['spawn new', 'confirm new']);
});

test('an error after the claim is reported, and the client keeps its instance', async () => {
  const { ports, done } = await fixture({ warm: 1 });
  const refills = { request: () => Promise.reject(new Error('Redis is unavailable')) };
  const acquired = await acquireInstance({ ...ports, refills }, sampleDraft(), {}, 'pool');
  expect(acquired.kind).toBe('claimed');
  await new Promise((resolve) => setImmediate(resolve));
  expect(done.at(-1)).toBe('error Error: Redis is unavailable');
});
