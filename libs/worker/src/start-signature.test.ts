import { createSigningKeys } from '@ephemera/config';
import type { Instance, InstanceDraft } from '@ephemera/domain';
import { kill, poolSpecFor } from '@ephemera/lifecycle';
import { createLogger, createMetrics } from '@ephemera/process';
import { REFILL_QUEUE, SPAWN_QUEUE, createProducers } from '@ephemera/queue';
import { createStore, keysOf } from '@ephemera/store';
import {
  memoryContainers,
  sampleDraft,
  sampleTemplate,
  startRedis,
  waitFor,
} from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import { Queue, QueueEvents } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startRefillWorker } from './refill-worker.ts';
import { startSpawnWorker } from './spawn-worker.ts';
import { withSignatureCheck } from './start-signature.ts';
import { createWorkerMetrics } from './worker-metrics.ts';

// A client can write to Redis, but has none of the signing keys. The workers and the queues are real;
// containers are in memory.

const [OLD, NEW, FOREIGN] = ['old', 'new', 'foreign'].map((name) => name.padEnd(32, '-'));
const HOST = 'a';
let server: StartedRedis;
let deployments = 0;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

const signerOf = (...keys: (string | undefined)[]) =>
  createSigningKeys(() => keys.filter((key) => key !== undefined));

async function deploy({
  proxyKeys = [NEW],
  workerKeys = [NEW],
}: { proxyKeys?: (string | undefined)[]; workerKeys?: (string | undefined)[] } = {}) {
  const keys = keysOf(`signed-${++deployments}`);
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  const connection = { connection: redis, prefix: keys.queuePrefix };
  const jobs = createProducers(redis, keys.queuePrefix);
  const proxy = createStore(redis, keys, 60_000, { signer: signerOf(...proxyKeys) });
  const registry = createMetrics('worker');
  const metrics = createWorkerMetrics(registry, {
    instances: () => proxy.instances.count(),
    overlaps: () => 0,
    eventLog: () => Promise.resolve({ count: 0, max: 1, oldestAt: undefined }),
    deliveries: () => Promise.resolve(0),
    queues: () => Promise.resolve([]),
    now: Date.now,
  });
  const logger = createLogger('worker', 'silent');
  const memory = memoryContainers();
  let skewMs = 0;

  const startWorkers = () => {
    const signer = signerOf(...workerKeys);
    const store = createStore(redis, keys, 60_000, {
      signer,
      onRefusedPool: () => metrics.startRefusals.inc({ reason: 'pool' }),
    });
    const containers = withSignatureCheck(memory, signer, {
      onRefused: (_, reason) => metrics.startRefusals.inc({ reason }),
      now: () => Date.now() + skewMs,
    });
    const { instances, pools, intake } = store;
    const { spawns, killJobs, killRequests } = jobs;
    const spawnWorker = startSpawnWorker(
      {
        ...{ host: HOST, instances, killJobs, containers },
        addresses: { next: () => Promise.resolve(9) },
        probe: () => Promise.resolve({ ready: true }),
        pause: () => Promise.resolve(),
      },
      { ...connection, logger, metrics },
    );
    const refillWorker = startRefillWorker(
      { instances, killRequests, spawns, pools, intake },
      { ...connection, logger },
    );
    const stop = () => Promise.all([spawnWorker.stop(), refillWorker.close()]);
    return { stop, end: (id: string) => kill({ instances, containers, killJobs }, id, 'request') };
  };
  let workers = startWorkers();

  const spawnQueue = new Queue(SPAWN_QUEUE, connection);
  const refillQueue = new Queue(REFILL_QUEUE, connection);
  const events = new QueueEvents(SPAWN_QUEUE, {
    connection: redis.duplicate(),
    prefix: keys.queuePrefix,
  });
  const refillEvents = new QueueEvents(REFILL_QUEUE, {
    connection: redis.duplicate(),
    prefix: keys.queuePrefix,
  });
  await Promise.all([events.waitUntilReady(), refillEvents.waitUntilReady()]);
  onTestFinished(async () => {
    await workers.stop();
    await Promise.all([events.close(), refillEvents.close()]);
    await Promise.all([spawnQueue.close(), refillQueue.close(), jobs.close()]);
    redis.disconnect();
  });
  let written = 0;
  return {
    ...{ redis, keys, proxy, jobs },
    containers: () => [...memory.containers.values()],
    refusals: async () => {
      const text = await registry.metrics();
      const lines = text.matchAll(/^ephemera_start_refusals_total\{reason="(\w+)".*\} (\d+)/gm);
      const counts = [...lines].map(([, reason = '', count]) => [reason, Number(count)] as const);
      return Object.fromEntries(counts);
    },
    /** Writes a job as a Redis client would, and returns what the worker made of it. */
    async writeJob({ id, generation }: Pick<Instance, 'id' | 'generation'>) {
      const jobId = `written-${++written}`;
      const job = await spawnQueue.add('spawn', { id, generation }, { jobId });
      return (await job.waitUntilFinished(events)) as { kind: string; message?: string };
    },
    async refill() {
      const job = await refillQueue.add('refill', {}, { jobId: `written-${++written}` });
      const done: unknown = await job.waitUntilFinished(refillEvents);
      return done as { started: number; retired: number };
    },
    async end(id: string) {
      await workers.end(id);
    },
    async restartWorkers() {
      await workers.stop();
      workers = startWorkers();
    },
    passTime(ms: number) {
      skewMs += ms;
    },
  };
}

type Deployment = Awaited<ReturnType<typeof deploy>>;

/** The fields of an instance as Redis holds them. */
async function fieldsOf({ redis, keys }: Deployment, id: string) {
  return redis.hgetall(keys.instance(id));
}

test('an instance that a proxy has signed starts', async () => {
  const site = await deploy();
  const instance = await site.proxy.instances.create(sampleDraft());
  await site.jobs.spawns.add(instance);
  await waitFor('ready', async () => {
    return (await site.proxy.instances.get(instance.id))?.state === 'ready';
  });
  expect(await site.refusals()).toEqual({});
});

test('an instance that leaves the start queue starts', async () => {
  const site = await deploy();
  const template = sampleTemplate({ maxInstances: 1, whenFull: 'queue' });
  const [first, second] = [sampleDraft({ template }), sampleDraft({ template })];
  expect((await site.proxy.intake.createOrQueue(first, {})).kind).toBe('created');
  const queued = await site.proxy.intake.createOrQueue(second, {});
  if (queued.kind !== 'queued') throw new Error(queued.kind);
  await site.end(first.id);
  const next = await site.proxy.startQueue.dequeue(template.name);
  expect(next).toMatchObject({ id: second.id, generation: queued.instance.generation });
  expect(await site.writeJob(queued.instance)).toEqual({ kind: 'ready' });
});

test('an instance that a Redis client writes does not start, and the job says why', async () => {
  const site = await deploy();
  const { redis, keys } = site;
  const genuine = await site.proxy.instances.create(sampleDraft());
  const fields = await fieldsOf(site, genuine.id);
  delete fields['signature'];
  const template = sampleTemplate({ image: 'attacker/image' });
  await redis.hset(keys.instance('forged'), {
    ...fields,
    id: 'forged',
    template: JSON.stringify(template),
  });
  const result = await site.writeJob({ id: 'forged', generation: genuine.generation });
  expect(result.kind).toBe('failed');
  expect(result.message).toContain('it has no signature. Set EPHEMERA_SIGNING_KEYS');
  expect(site.containers()).toEqual([]);
  expect(await site.refusals()).toEqual({ unsigned: 1 });
});

test('a job for an instance that does not exist starts nothing', async () => {
  const site = await deploy();
  expect(await site.writeJob({ id: 'nobody', generation: 1 })).toEqual({ kind: 'superseded' });
  expect(site.containers()).toEqual([]);
});

const changes: [
  name: string,
  change: (fields: Record<string, string>) => Record<string, string>,
][] = [
  ['image', ({ template = '' }) => ({ template: template.replace('ephemera/demo', 'x') })],
  ['command', ({ template = '' }) => ({ template: template.replace('{', '{"command":["sh"],') })],
  [
    'rights',
    ({ template = '' }) => ({ template: template.replace('"capAdd":[]', '"capAdd":["A"]') }),
  ],
  ['environment', () => ({ env: '{"LD_PRELOAD":"/tmp/x.so"}' })],
  ['URL', () => ({ url: 'http://elsewhere/' })],
  ['instance token', () => ({ token: 'known' })],
  ['access', () => ({ accessHash: 'known' })],
  ['metadata', () => ({ metadata: '{"a":"b"}' })],
  ['time to live', () => ({ timeout: '999999999' })],
  ['generation', ({ generation }) => ({ generation: String(Number(generation) + 1) })],
  ['expiry', ({ signature = '' }) => ({ signature: signature.replace(/^\d+/, '99999999999999') })],
  ['signature', ({ signature = '' }) => ({ signature: signature.slice(0, -4) })],
  ['signature, empty', () => ({ signature: '' })],
  [
    'signature, without an expiry',
    ({ signature = '' }) => ({ signature: signature.split('.')[1] ?? '' }),
  ],
];

test.each(changes)('a signed instance with a changed %s does not start', async (_, change) => {
  const site = await deploy();
  const { id } = await site.proxy.instances.create(sampleDraft({ metadata: {} }));
  const fields = await fieldsOf(site, id);
  const changed = change(fields);
  expect(fields).not.toMatchObject(changed);
  await site.redis.hset(site.keys.instance(id), changed);
  const generation = Number(changed['generation'] ?? fields['generation']);
  const { kind, message } = await site.writeJob({ id, generation });
  expect([kind, message]).toEqual(['failed', expect.stringContaining('does not match')]);
  expect(site.containers()).toEqual([]);
  expect(await site.refusals()).toEqual({ invalid: 1 });
});

test('the signature of one instance is not valid for another', async () => {
  const site = await deploy();
  const [one, other] = [
    await site.proxy.instances.create(sampleDraft()),
    await site.proxy.instances.create(sampleDraft()),
  ];
  const { signature = '' } = await fieldsOf(site, one.id);
  await site.redis.hset(site.keys.instance(other.id), { signature });
  expect((await site.writeJob(other)).kind).toBe('failed');
});

/** Starts and ends an instance, and returns its fields from before. */
async function startAndEnd(site: Deployment) {
  const instance = await site.proxy.instances.create(sampleDraft());
  const fields = await fieldsOf(site, instance.id);
  expect((await site.writeJob(instance)).kind).toBe('ready');
  await site.end(instance.id);
  expect(site.containers()).toEqual([]);
  return { instance, fields };
}

test('an instance that has ended does not start again', async () => {
  const site = await deploy();
  const { instance, fields } = await startAndEnd(site);
  expect((await site.writeJob(instance)).kind).toBe('superseded');
  await site.redis.del(site.keys.instance(instance.id));
  await site.redis.hset(site.keys.instance(instance.id), fields);
  const { message } = await site.writeJob(instance);
  expect(message).toContain('this worker has already removed it');
  expect(site.containers()).toEqual([]);
  expect(await site.refusals()).toEqual({ replayed: 1 });
});

test('a worker that has forgotten an instance starts it only until its signature expires', async () => {
  const site = await deploy();
  const { instance, fields } = await startAndEnd(site);
  await site.restartWorkers();
  site.passTime(3_600_000 + instance.template.ready.within + 60_000);
  await site.redis.del(site.keys.instance(instance.id));
  await site.redis.hset(site.keys.instance(instance.id), fields);
  expect((await site.writeJob(instance)).message).toContain('its signature has expired');
  expect(site.containers()).toEqual([]);
});

test('two workers that run one job twice start one container', async () => {
  const site = await deploy();
  const instance = await site.proxy.instances.create(sampleDraft());
  const results = await Promise.all([site.writeJob(instance), site.writeJob(instance)]);
  expect(results.map(({ kind }) => kind)).toContain('ready');
  expect(site.containers()).toHaveLength(1);
});

const specOf = (input: Partial<InstanceDraft['template']> = {}) => {
  const spec = poolSpecFor(sampleTemplate({ pool: 2, ...input }), 'http://localhost/{id}/');
  if (!spec) throw new Error('it has no pool');
  return spec;
};

test('a pool that a proxy has signed is filled with instances that start', async () => {
  const site = await deploy();
  await site.proxy.pools.setPoolSpecs([specOf()]);
  expect((await site.refill()).started).toBe(2);
  await waitFor('two containers', () => site.containers().length === 2);
  expect(await site.refusals()).toEqual({});
});

test('a pool that a Redis client writes or changes is not filled', async () => {
  const site = await deploy();
  await site.redis.hset(site.keys.pools, 'demo', JSON.stringify(specOf()));
  expect((await site.refill()).started).toBe(0);
  await site.proxy.pools.setPoolSpecs([specOf()]);
  const text = (await site.redis.hget(site.keys.pools, 'demo')) ?? '';
  for (const [from, to] of [
    ['ephemera/demo', 'attacker/image'],
    ['"pool":2', '"pool":200'],
    ['localhost', 'elsewhere'],
  ] as const) {
    await site.redis.hset(site.keys.pools, 'demo', text.replace(from, to));
    expect((await site.refill()).started).toBe(0);
  }
  expect(await site.proxy.instances.count()).toBe(0);
  expect(await site.refusals()).toEqual({ pool: 4 });
  await site.redis.hset(site.keys.pools, 'demo', text);
  expect((await site.refill()).started).toBe(2);
});

test('a pool whose spec is refused keeps its warm instances, because keys may be changing', async () => {
  const site = await deploy();
  await site.proxy.pools.setPoolSpecs([specOf()]);
  await site.refill();
  await waitFor('two containers', () => site.containers().length === 2);
  await site.redis.hset(site.keys.pools, 'demo', JSON.stringify(specOf()));
  expect(await site.refill()).toEqual({ started: 0, retired: 0 });
  await site.redis.del(site.keys.pools);
  expect(await site.refill()).toEqual({ started: 0, retired: 2 });
});

test.each<[string, (string | undefined)[], (string | undefined)[], string]>([
  ['before', [OLD], [OLD], 'ready'],
  ['while workers have the new key first and proxies only the old one', [OLD], [NEW, OLD], 'ready'],
  ['while proxies sign with the new key', [NEW, OLD], [OLD, NEW], 'ready'],
  ['after the old key was removed', [OLD], [NEW], 'failed'],
  ['with a foreign key', [FOREIGN], [NEW, OLD], 'failed'],
  ['where only workers have a key', [], [NEW], 'failed'],
  ['where no process has a key', [], [], 'ready'],
])('a rotation of keys: %s', async (_, proxyKeys, workerKeys, expected) => {
  const site = await deploy({ proxyKeys, workerKeys });
  const instance = await site.proxy.instances.create(sampleDraft({ env: { '2': 'b', '1': 'a' } }));
  expect((await site.writeJob(instance)).kind).toBe(expected);
});
