import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { sampleDraft, startRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { connectRedis } from './connect-redis.ts';
import { keysOf } from './keys.ts';
import { redisInstances } from './redis-instances.ts';
import { redisIntake } from './redis-intake.ts';

// A connection breaks after Redis has run a command and before the reply arrives. The client
// reconnects and sends the command again.

const keys = keysOf('again');

async function open() {
  const server = await startRedis();
  const relay = await startRelay(server.port);
  const redis = connectRedis(`redis://127.0.0.1:${relay.port}`, 'request', () => undefined);
  await once(redis, 'ready');
  const direct = new Redis(server.url);
  onTestFinished(async () => {
    redis.disconnect();
    direct.disconnect();
    await relay.close();
    await server.stop();
  });
  return {
    relay,
    direct,
    intake: redisIntake(redis, keys),
    instances: redisInstances(redis, keys),
  };
}

/** Forwards everything, until told to close a connection instead of forwarding the next reply. */
async function startRelay(to: number) {
  let cuts = 0;
  let scheduled = false;
  const relay = createServer((client) => {
    const upstream = connect(to, '127.0.0.1');
    client.pipe(upstream);
    upstream.on('data', (chunk) => {
      if (!scheduled) return void client.write(chunk);
      scheduled = false;
      cuts++;
      client.destroy();
      upstream.destroy();
    });
    for (const [from, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('error', () => undefined);
      from.on('close', () => other.destroy());
    }
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  return {
    port: (relay.address() as AddressInfo).port,
    cutNextAnswer: () => (scheduled = true),
    get cuts() {
      return cuts;
    },
    close: () => new Promise((resolve) => relay.close(resolve)),
  };
}

test('a repeated creation creates one instance and gets the same reply', async () => {
  const { relay, direct, intake } = await open();
  await intake.createOrQueue(sampleDraft(), {});
  const draft = sampleDraft();
  relay.cutNextAnswer();
  const quotaOwner = { name: 'address:a', limit: 'address', max: 1 } as const;
  const taken = await intake.createOrQueue(draft, { quotaOwner });
  expect(relay.cuts).toBe(1);
  if (taken.kind !== 'created') throw new Error(taken.kind);
  expect(taken.instance).toMatchObject({ id: draft.id, state: 'pending', owner: quotaOwner.name });
  const { generation, createdAt, expiresAt, maxExpiresAt } = taken.instance;
  expect(await redisInstances(direct, keys).get(draft.id)).toMatchObject({
    ...{ generation, createdAt, expiresAt, maxExpiresAt },
  });
  expect(await direct.zcard(keys.instances)).toBe(2);
});

test('another creation with a used id is refused, and a late repetition of the same one is not', async () => {
  const { intake, instances } = await open();
  const draft = sampleDraft();
  const attempt = randomUUID();
  await intake.createOrQueue(draft, { attempt });
  const { generation = 0 } = (await instances.get(draft.id)) ?? {};
  await instances.assignToHost(draft.id, generation, 'a');
  await instances.markReady(draft.id, generation, '10.0.0.9');
  expect(await intake.createOrQueue(draft, { attempt })).toMatchObject({
    ...{ kind: 'created', instance: { generation } },
  });
  await expect(intake.createOrQueue(draft, {})).rejects.toThrow(/taken/);
});

test('a repeated claim takes one instance of the pool', async () => {
  const { relay, direct, intake, instances } = await open();
  for (let i = 0; i < 3; i++) {
    const stocked = await intake.createWarm(sampleDraft(), 'p', 3);
    if (!stocked) throw new Error('the pool is full');
    await instances.assignToHost(stocked.id, stocked.generation, 'a');
    await instances.markReady(stocked.id, stocked.generation, '10.0.0.9');
  }
  const spec = { timeout: 9_000, metadata: {}, accessHash: undefined };
  const first = await intake.claimWarm('p', spec, {});
  relay.cutNextAnswer();
  const second = await intake.claimWarm('p', spec, {});
  expect(relay.cuts).toBe(1);
  if (first.kind !== 'claimed' || second.kind !== 'claimed')
    throw new Error('no instance was warm');
  expect(second.instance).toMatchObject({ state: 'ready' });
  expect(second.instance.id).not.toBe(first.instance.id);
  expect(await direct.zcard(keys.warm('p'))).toBe(1);
});
