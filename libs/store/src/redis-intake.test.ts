import type { Instance, Template } from '@ephemera/domain';
import { HostCapacityError } from '@ephemera/lifecycle';
import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { redisHosts } from './hosts.ts';
import { keysOf } from './keys.ts';
import { redisInstances } from './redis-instances.ts';
import { readCapacity } from './read-capacity.ts';
import { redisIntake, redisStartQueue } from './redis-intake.ts';

let stores = 0;
const { server } = await openRedis();

/** A store under a namespace of its own, with helpers that count what it holds. */
function open() {
  const keys = keysOf(`intake-${++stores}`);
  const redis = new Redis(server.url);
  onTestFinished(async () => {
    await redis.quit();
  });
  const instances = redisInstances(redis, keys);
  const intake = redisIntake(redis, keys);
  const take = async (template: Partial<Template> = {}, owner?: string, max = 2) =>
    intake.createOrQueue(
      sampleDraft({ template: sampleTemplate(template) }),
      owner === undefined
        ? {}
        : { quotaOwner: { name: `address:${owner}`, limit: 'address', max } },
    );
  const finalize = async (id: string) => {
    const outcome = await instances.startDraining(id, 'request');
    if (outcome.kind !== 'draining') throw new Error(`the outcome was ${outcome.kind}`);
    await instances.finalize(id, outcome.instance.generation);
  };
  return {
    keys,
    redis,
    instances,
    intake,
    startQueue: redisStartQueue(redis, keys),
    take,
    finalize,
    async host(
      host: string,
      capacity: Parameters<ReturnType<typeof redisHosts>['setCapacity']>[1],
    ) {
      const hosts = redisHosts(redis, keys);
      await hosts.setCapacity(host, capacity);
      await hosts.heartbeat(host, await instances.now());
    },
    /** Every key except tombstones and permanent counters. */
    async held(): Promise<string[]> {
      const all = await redis.keys(`${keys.queuePrefix}:*`);
      const left = all.map((key) => key.slice(keys.queuePrefix.length + 1));
      return left.filter((key) => !/^(instance:|route:|generation$|events$|host)/.test(key));
    },
  };
}

function created(result: { kind: string; instance?: Instance | undefined }): Instance {
  if (result.kind !== 'created' || !result.instance)
    throw new Error(`the result was ${result.kind}`);
  return result.instance;
}

function kinds(answers: readonly { kind: string; limit?: string }[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind, limit } of answers) {
    const name = limit === undefined ? kind : `${kind} ${limit}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

describe('10,000 concurrent creations', () => {
  test('create exactly the template’s maximum', async () => {
    const { take, keys, redis } = open();
    const asked = Array.from({ length: 10_000 }, () => take({ maxInstances: 137 }));
    expect(kinds(await Promise.all(asked))).toEqual({ created: 137, 'full template': 9_863 });
    expect(await redis.zcard(keys.instances)).toBe(137);
  });

  test('create exactly what the hosts hold, and no host starts more than its capacity', async () => {
    const { take, host, instances } = open();
    await host('a', { instances: 40, memory: 10 * 1024 ** 3 });
    await host('b', { instances: 90, memory: 50 * 64 * 1024 ** 2, cpus: 1000 });
    const answers = await Promise.all(Array.from({ length: 10_000 }, () => take()));
    expect(kinds(answers)).toEqual({ created: 90, 'full hosts': 9_910 });
    const assigned = { a: 0, b: 0, none: 0 };
    for (const answer of answers) {
      if (answer.kind !== 'created') continue;
      const { id, generation } = answer.instance;
      const on = (name: string) =>
        instances.assignToHost(id, generation, name).then(Boolean, () => false);
      if (await on('a')) assigned.a++;
      else if (await on('b')) assigned.b++;
      else assigned.none++;
    }
    expect(assigned).toEqual({ a: 40, b: 50, none: 0 });
  }, 30_000);

  test('create or queue exactly the capacity plus the queue length', async () => {
    const { take } = open();
    const template = { maxInstances: 20, whenFull: 'queue', maxQueued: 30 } as const;
    const answers = await Promise.all(Array.from({ length: 10_000 }, () => take(template)));
    expect(kinds(answers)).toEqual({ created: 20, queued: 30, 'full queue': 9_950 });
  });

  test('respect the quota of an address', async () => {
    const { take } = open();
    const asked = Array.from({ length: 10_000 }, (_, i) => take({}, `192.0.2.${i % 5}`, 3));
    expect(kinds(await Promise.all(asked))).toEqual({ created: 15, 'full address': 9_985 });
  });
});

describe('capacity', () => {
  test('is released once, when the instance is finalized', async () => {
    const { take, instances, held } = open();
    const { id } = created(await take({ maxInstances: 1 }, 'a', 1));
    const outcome = await instances.startDraining(id, 'request');
    await instances.startDraining(id, 'request');
    expect((await take({ maxInstances: 1 }, 'b')).kind).toBe('full');
    if (outcome.kind !== 'draining') throw new Error('the instance is not draining');
    for (let i = 0; i < 3; i++) await instances.finalize(id, outcome.instance.generation);
    const again = created(await take({ maxInstances: 1 }, 'a', 1));
    expect((await take({ maxInstances: 1 }, 'b')).kind).toBe('full');
    const last = await instances.startDraining(again.id, 'request');
    if (last.kind === 'draining') await instances.finalize(again.id, last.instance.generation);
    expect(await held()).toEqual([]);
  });

  test('is released in full, however an instance ends', async () => {
    const { take, host, instances, finalize, redis, keys, held } = open();
    await host('a', { instances: 100, memory: 1024 ** 4, cpus: 64 });
    const endings = [
      'pending',
      'assigned',
      'assigned twice',
      'ready',
      'failed',
      'restored',
      'queued',
    ];
    for (const how of endings) {
      const template = { maxInstances: 1, whenFull: 'queue' } as const;
      const { id, generation } = created(await take(template, 'x', 5));
      if (how === 'queued') {
        const second = await take(template, 'x', 5);
        if (second.kind !== 'queued') throw new Error(`the result was ${second.kind}`);
        await finalize(second.instance.id);
      }
      if (how !== 'pending') await instances.assignToHost(id, generation, 'a');
      if (how === 'assigned twice') await instances.assignToHost(id, generation, 'a');
      if (how === 'ready' || how === 'restored')
        await instances.markReady(id, generation, '10.0.0.9');
      if (how === 'failed') await instances.startDraining(id, 'start_failed', 'no');
      if (how === 'restored') {
        const lost = await instances.get(id);
        if (!lost) throw new Error('the instance does not exist');
        await redis.flushall();
        await instances.restore(lost);
        await instances.restore(lost);
      }
      await finalize(id);
      expect([how, await held(), await redis.exists(keys.hostUsed('a'))]).toEqual([
        how,
        how === 'queued' ? ['queues'] : [],
        0,
      ]);
    }
  });

  test('is unlimited on a host without limits; if no host is alive, all hosts count', async () => {
    const { take, host, redis, keys } = open();
    expect((await take()).kind).toBe('created');
    await host('a', {});
    expect((await take()).kind).toBe('created');
    await host('a', { instances: 2 });
    await redis.zadd(keys.hosts, 0, 'a');
    expect(kinds([await take(), await take()])).toEqual({ created: 1, 'full hosts': 1 });
  });
});

describe('the queue', () => {
  const template = { maxInstances: 1, whenFull: 'queue', maxQueued: 5 } as const;

  test('starts the first instance when capacity is free, with its full start deadline', async () => {
    const { take, finalize, startQueue, instances } = open();
    const first = created(await take(template));
    const [second, third] = [await take(template), await take(template)];
    if (second.kind !== 'queued' || third.kind !== 'queued')
      throw new Error('the instance was not queued');
    expect(await instances.get(second.instance.id)).toMatchObject({
      state: 'pending',
      message: 'queued at position 1 of 2',
    });
    expect(await instances.get(third.instance.id)).toMatchObject({
      message: 'queued at position 2 of 2',
    });
    expect(await startQueue.templates()).toEqual(['demo']);
    expect(await startQueue.dequeue('demo')).toBeUndefined();
    // A worker cannot start a queued instance, even from an earlier job.
    const { id, generation } = second.instance;
    expect(await instances.assignToHost(id, generation, 'a')).toBeUndefined();

    await finalize(first.id);
    // A new instance does not overtake the queue: one slot is free, and it is queued all the same.
    expect((await take(template)).kind).toBe('queued');
    expect(await startQueue.dequeue('demo')).toEqual({ id, generation });
    expect(await startQueue.dequeue('demo')).toBeUndefined();
    const now = await instances.now();
    const admitted = await instances.get(id);
    expect(admitted?.message).toBeUndefined();
    expect(admitted?.expiresAt).toBeGreaterThan(now + 29_000);
    expect(admitted?.maxExpiresAt).toBeGreaterThan(now + 3_599_000);
    expect((await instances.assignToHost(id, generation, 'a'))?.state).toBe('starting');
  });

  test('moves up when a queued instance is stopped', async () => {
    const { take, finalize, instances } = open();
    created(await take(template));
    const [second, third] = [await take(template), await take(template)];
    if (second.kind !== 'queued' || third.kind !== 'queued')
      throw new Error('the instance was not queued');
    await finalize(second.instance.id);
    expect((await instances.get(third.instance.id))?.message).toBe('queued at position 1 of 1');
  });

  test('ends an instance at its queue timeout', async () => {
    const { take, instances } = open();
    created(await take(template));
    const queued = await take({ ...template, queueTimeout: 1 });
    if (queued.kind !== 'queued') throw new Error('the instance was not queued');
    const { id, expiresAt } = queued.instance;
    expect(expiresAt).toBe(queued.instance.createdAt + 1);
    const stranded = await instances.unassignedOverdue((await instances.now()) + 5);
    expect(stranded.map((instance) => instance.id)).toContain(id);
    const outcome = await instances.startDraining(id, 'due');
    expect(outcome).toMatchObject({
      instance: {
        reason: 'start_failed',
        message: 'No capacity became free before its queue timeout.',
      },
    });
  });
});

describe('an idempotency key', () => {
  const ask = (intake: ReturnType<typeof redisIntake>, key: string, digest: string) =>
    intake.createOrQueue(sampleDraft(), { idempotency: { key, digest } });

  test('sent in 1,000 concurrent requests creates one instance', async () => {
    const { intake, instances } = open();
    const answers = await Promise.all(Array.from({ length: 1000 }, () => ask(intake, 'k', 'd')));
    expect(kinds(answers)).toEqual({ created: 1, repeated: 999 });
    const ids = answers.flatMap((answer) =>
      answer.kind === 'created' || answer.kind === 'repeated' ? [answer.instance?.id] : [],
    );
    expect(new Set(ids).size).toBe(1);
    expect(await instances.count()).toBe(1);
  });

  test('with another payload is refused, also for a day after its instance ended', async () => {
    const { intake, finalize, redis, keys } = open();
    const { id } = created(await ask(intake, 'k', 'd'));
    expect((await ask(intake, 'k', 'other')).kind).toBe('reused');
    await finalize(id);
    await redis.del(keys.instance(id), keys.route(id));
    expect(await ask(intake, 'k', 'd')).toEqual({ kind: 'repeated', id, instance: undefined });
    const ttl = await redis.pttl(`${keys.queuePrefix}:idempotency:k`);
    expect(ttl).toBeGreaterThan(23 * 3_600_000);
    expect(ttl).toBeLessThanOrEqual(24 * 3_600_000);
  });

  test('returns the salt of the first request to its repeats', async () => {
    const { intake } = open();
    const askWith = (key: string, salt?: string) =>
      intake.createOrQueue(sampleDraft(), { idempotency: { key, digest: 'd', salt } });
    const { id } = created(await askWith('k', 'first'));
    expect(await askWith('k', 'second')).toMatchObject({ kind: 'repeated', id, salt: 'first' });
    await askWith('plain');
    expect(await askWith('plain', 'second')).toMatchObject({ kind: 'repeated', salt: undefined });
  });

  test('is usable again after a refused request', async () => {
    const { intake, take, finalize } = open();
    const template = sampleTemplate({ maxInstances: 1 });
    const only = created(await take({ maxInstances: 1 }));
    const context = { idempotency: { key: 'k', digest: 'd' } };
    expect((await intake.createOrQueue(sampleDraft({ template }), context)).kind).toBe('full');
    await finalize(only.id);
    expect((await intake.createOrQueue(sampleDraft({ template }), context)).kind).toBe('created');
  });
});

describe('a cordoned host', () => {
  const created = async (result: ReturnType<ReturnType<typeof open>['take']>) => {
    const reply = await result;
    if (reply.kind !== 'created') throw new Error(`the result was ${reply.kind}`);
    return reply.instance;
  };
  const twoHosts = async () => {
    const store = open();
    // Without a cordon, the larger host would get every instance.
    await store.host('large', { instances: 9, memory: 2 ** 40 });
    await store.host('small', { instances: 9, memory: 2 ** 38 });
    const hosts = redisHosts(store.redis, store.keys);
    const reservedOn = async (id: string) =>
      store.redis.hget(store.keys.instance(id), 'reservedHost');
    return { ...store, hosts, reservedOn };
  };

  test('gets no new instance, and its workers start none that another host may start', async () => {
    const { hosts, take, instances, reservedOn } = await twoHosts();
    const before = await created(take());
    expect(await reservedOn(before.id)).toBe('large');
    await hosts.cordon('large');
    const after = await created(take());
    expect(await reservedOn(after.id)).toBe('small');
    await expect(instances.assignToHost(after.id, after.generation, 'large')).rejects.toThrow(
      HostCapacityError,
    );
    // It still starts what was promised before its cordon.
    expect((await instances.assignToHost(before.id, before.generation, 'large'))?.host).toBe(
      'large',
    );
    await hosts.uncordon('large');
    expect(await reservedOn((await created(take())).id)).toBe('large');
  });

  test('that is being drained hands over what it has not started', async () => {
    const { hosts, take, instances, reservedOn } = await twoHosts();
    const { id, generation } = await created(take());
    await hosts.drain('large', undefined);
    await expect(instances.assignToHost(id, generation, 'large')).rejects.toThrow(
      HostCapacityError,
    );
    // Later instances cannot take the capacity of the other host from it.
    expect(await reservedOn(id)).toBe('small');
    expect(await hosts.capacitiesOf(['large', 'small'])).toMatchObject([
      { used: { instances: 0 } },
      { used: { instances: 1 } },
    ]);
    expect((await instances.assignToHost(id, generation, 'small'))?.host).toBe('small');
  });

  test('has no capacity, so a start is refused where all hosts are cordoned', async () => {
    const { hosts, take, redis, keys, instances } = await twoHosts();
    for (const host of ['large', 'small']) await hosts.cordon(host);
    expect(await take({ whenFull: 'refuse' })).toEqual({ kind: 'full', limit: 'hosts' });
    expect(await readCapacity(redis, keys, await instances.now())).toEqual({
      instances: 0,
      available: 0,
      capacity: 0,
    });
    await hosts.uncordon('small');
    expect(await readCapacity(redis, keys, await instances.now())).toMatchObject({ capacity: 9 });
  });
});
