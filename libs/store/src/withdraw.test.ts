import { randomUUID } from 'node:crypto';
import type { Instance } from '@ephemera/domain';
import { acquireInstance } from '@ephemera/lifecycle';
import type { AcquirePorts, CreationContext } from '@ephemera/lifecycle';
import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { keysOf } from './keys.ts';
import { redisInstances } from './redis-instances.ts';
import { redisIntake } from './redis-intake.ts';

// A warm instance does not answer when it is claimed, or the reply of a call is lost. Neither may use up
// what the visitor has: a place in the quota, a link, an idempotency key.

let stores = 0;
const { server } = await openRedis();

const POOL = 'p';
const LINK = 'link:a';

function open(maxInstances = 1) {
  const keys = keysOf(`withdraw-${++stores}`);
  const redis = new Redis(server.url);
  onTestFinished(async () => {
    await redis.quit();
  });
  const instances = redisInstances(redis, keys);
  const intake = redisIntake(redis, keys);
  const nothing = () => Promise.resolve();
  const ports: AcquirePorts = {
    ...{ instances, intake },
    spawns: { add: nothing },
    killJobs: { schedule: nothing, cancel: nothing },
    killRequests: { enqueueNow: nothing },
    refills: { request: nothing },
    isReachable: () => Promise.resolve(false),
    onError: (error) => expect.unreachable(String(error)),
  };
  const template = sampleTemplate({ maxInstances });
  const idempotency = { key: 'k', digest: 'd' };
  const grants = [{ kind: 'link' as const, name: LINK, max: 1, expiresAt: Date.now() + 600_000 }];
  const quotaOwner = { name: 'address:192.0.2.1', limit: 'address', max: 1 } as const;
  return {
    ...{ keys, redis, instances, intake, ports, idempotency, grants, quotaOwner },
    acquire: (context: CreationContext, over: Partial<AcquirePorts> = {}) =>
      acquireInstance({ ...ports, ...over }, sampleDraft({ template }), context, POOL),
    async warm(): Promise<Instance> {
      const { id, generation } =
        (await intake.createWarm(sampleDraft({ template }), POOL, 9)) ?? expect.unreachable();
      await instances.assignToHost(id, generation, 'a');
      await instances.markReady(id, generation, '10.0.0.9');
      return (await instances.get(id)) ?? expect.unreachable();
    },
    finalize: async (id: string) => {
      const { generation } = (await instances.get(id)) ?? expect.unreachable();
      expect(await instances.finalize(id, generation)).toBe(true);
    },
  };
}

describe('a claimed instance that does not answer', () => {
  test('leaves the key, the link and the quota to a repetition, if there is no capacity for another', async () => {
    const { acquire, warm, finalize, intake, ...context } = open();
    const { id } = await warm();
    const { idempotency, grants, quotaOwner } = context;
    const all = { idempotency, grants, quotaOwner };
    // The template allows one instance, and the dead one still has its container.
    expect(await acquire(all)).toEqual({ kind: 'full', limit: 'template' });
    expect(await intake.redeemed(LINK)).toBe(0);
    await finalize(id);
    const repeated = await acquire(all);
    expect(repeated.kind).toBe('created');
    expect(await intake.redeemed(LINK)).toBe(1);
  });

  test('does not count against its owner: the next one replaces it', async () => {
    const { acquire, warm, redis, keys, quotaOwner, grants } = open(2);
    const { id } = await warm();
    const acquired = await acquire({ quotaOwner, grants });
    expect(acquired).toMatchObject({ kind: 'created', instance: { owner: quotaOwner.name } });
    expect(await redis.smembers(`${keys.queuePrefix}:owner:${quotaOwner.name}`)).not.toContain(id);
  });

  test('gives back what it used where another process has ended it first', async () => {
    const { acquire, warm, instances, intake, finalize, ...context } = open();
    const { id } = await warm();
    const { idempotency, grants, quotaOwner } = context;
    const isReachable = async () => {
      await instances.startDraining(id, 'exited');
      await finalize(id);
      return false;
    };
    const acquired = await acquire({ idempotency, grants, quotaOwner }, { isReachable });
    expect(acquired.kind).toBe('created');
    expect(await intake.redeemed(LINK)).toBe(1);
  });
});

describe('a call whose reply is lost', () => {
  /** The intake, but each reply of this call is lost. */
  const losing = (intake: AcquirePorts['intake'], name: 'createOrQueue' | 'claimWarm') => ({
    ...intake,
    [name]: async (...input: never[]) => {
      await (intake[name] as (...input: never[]) => Promise<unknown>)(...input);
      throw new Error('Command timed out');
    },
  });

  test('leaves nothing behind: the instance ends, and its link starts another one', async () => {
    for (const name of ['claimWarm', 'createOrQueue'] as const) {
      const { acquire, warm, instances, intake, grants, quotaOwner, finalize } = open();
      if (name === 'claimWarm') await warm();
      const lost = acquire({ grants, quotaOwner }, { intake: losing(intake, name) });
      await expect(lost).rejects.toThrow('timed out');
      expect(await intake.redeemed(LINK)).toBe(0);
      const { items } = await instances.list({ cursor: 0, limit: 10 });
      if (name === 'claimWarm') {
        expect(items).toMatchObject([{ state: 'draining', reason: 'request' }]);
        await finalize(items[0]?.id ?? '');
      } else {
        expect(items).toEqual([]);
      }
      expect((await acquire({ grants, quotaOwner })).kind).toBe('created');
    }
  });

  test('is returned by a repetition with the same idempotency key', async () => {
    const { acquire, intake, idempotency } = open();
    const lost = acquire({ idempotency }, { intake: losing(intake, 'createOrQueue') });
    await expect(lost).rejects.toThrow('timed out');
    expect(await acquire({ idempotency })).toMatchObject({
      ...{ kind: 'repeated', instance: { state: 'pending' } },
    });
  });

  // The command may still be in the buffer of the connection that broke.
  test('gets nothing if it runs after its withdrawal', async () => {
    const { intake, instances, warm, redis, keys, grants } = open();
    const warmed = await warm();
    const attempt = randomUUID();
    const draft = sampleDraft();
    for (const id of [draft.id, undefined]) {
      const withdrawn = await intake.withdraw({ attempt, id }, { grants }, 'unconfirmed');
      expect(withdrawn).toEqual({ kind: 'absent' });
    }
    await expect(intake.createOrQueue(draft, { attempt })).rejects.toThrow('withdrawn');
    await expect(intake.claimWarm(POOL, draft, { attempt })).rejects.toThrow('withdrawn');
    expect(await instances.get(draft.id)).toBeUndefined();
    expect((await instances.get(warmed.id))?.state).toBe('warm');
    for (const key of [keys.claim(attempt), keys.instance(draft.id)]) {
      expect(await redis.pttl(key)).toBeGreaterThan(0);
    }
    // An instance with this id that Redis has lost can still be restored, without the expiry.
    const lost = { ...warmed, id: draft.id, state: 'ready' } as const;
    expect(await instances.restore(lost)).toBe(true);
    expect(await redis.pttl(keys.instance(draft.id))).toBe(-1);
  });

  test('never ends an instance that has the same id', async () => {
    const { intake, instances, ports, grants } = open();
    const draft = sampleDraft();
    await intake.createOrQueue(draft, { grants });
    await expect(acquireInstance(ports, draft, { grants: [] })).rejects.toThrow('taken');
    expect((await instances.get(draft.id))?.state).toBe('pending');
    expect(await intake.redeemed(LINK)).toBe(1);
  });
});
