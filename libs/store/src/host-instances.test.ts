import { randomFrom, sampleDraft, sampleTemplate, startRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { keysOf } from './keys.ts';
import { redisInstances, redisProgress } from './redis-instances.ts';
import { redisIntake } from './redis-intake.ts';
import { redisLeases, redisSuspensions } from './redis-leases.ts';

const POOL = 'p';
const OPERATIONS = 400;
const HOST = 'a';

// Reconciliation does not read an instance whose listed version it knows, so a script that changes an
// instance without its version hides the change from it.
test('after any operation, the list of a host has the version of each of its instances', async () => {
  const server = await startRedis();
  const keys = keysOf('versions');
  const redis = new Redis(server.url);
  onTestFinished(async () => {
    await redis.quit();
    await server.stop();
  });
  const instances = redisInstances(redis, keys);
  const intake = redisIntake(redis, keys);
  const leases = redisLeases(redis, keys);
  const suspensions = redisSuspensions(redis, keys);
  const { report } = redisProgress(redis, keys);
  const random = randomFrom(7);
  const template = sampleTemplate({ timeout: 60_000, ready: { kind: 'tcp', within: 5_000 } });
  const ids: string[] = [];
  const step = { step: 'pulling', done: 0.5, message: 'Pulling.' } as const;

  const start = async (draft = sampleDraft({ template })) => {
    const warm = random(2) === 0;
    const made = warm ? await intake.createWarm(draft, POOL, 1_000) : await instances.create(draft);
    const { id, generation } = made ?? expect.unreachable();
    ids.push(id);
    await instances.assignToHost(id, generation, HOST);
  };
  type Operation = (id: string, generation: number) => Promise<unknown>;
  const operations: Readonly<Record<string, Operation>> = {
    start: () => start(),
    report: (id, generation) => report({ id, generation }, step, random(3) * 20_000),
    ready: (id, generation) => instances.markReady(id, generation, '10.0.0.9', HOST),
    claim: () => intake.claimWarm(POOL, { timeout: 1_000 + random(9_000), metadata: {} }, {}),
    renew: (id) => leases.renew(id, { timeout: 30_000 + random(60_000), shorten: random(2) === 0 }),
    touch: (id) => leases.touch([id]),
    pause: (id) => suspensions.pause(id),
    resume: (id) => suspensions.resume(id),
    due: (id) => instances.startDraining(id, 'due'),
    end: (id) => instances.startDraining(id, random(4) === 0 ? 'request' : 'surplus'),
    finalize: (id, generation) => instances.finalize(id, generation),
  };
  const names = Object.keys(operations);
  const changed = new Set<string>();
  for (let i = 0; i < OPERATIONS; i++) {
    const name = names[random(names.length)] ?? 'start';
    const id = ids[random(ids.length)] ?? '';
    const before = await redis.hgetall(keys.hostInstances(HOST));
    const { generation = 0 } = (await instances.get(id)) ?? {};
    await operations[name]?.(id, generation);
    const listed = await redis.hgetall(keys.hostInstances(HOST));
    if (JSON.stringify(listed) !== JSON.stringify(before)) changed.add(name);
    const present: Record<string, string> = {};
    for (const instance of await Promise.all(ids.map((known) => instances.get(known)))) {
      if (!instance || instance.state === 'gone' || instance.state === 'failed') continue;
      const { state, expiresAt, lastTransitionAt } = instance;
      present[instance.id] = [instance.generation, state, expiresAt, lastTransitionAt].join(':');
    }
    expect(listed, `after ${name}, operation ${i}`).toEqual(present);
  }
  // Operations that changed no version would show nothing.
  const expected = ['start', 'report', 'ready', 'claim', 'renew', 'pause', 'resume', 'end'];
  expect([...changed]).toEqual(expect.arrayContaining([...expected, 'finalize']));
});
