import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { newId } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import type { HostScan } from '@ephemera/lifecycle';
import { acquireInstance, FULL_READ_RUNS, newHostScan, reconcile } from '@ephemera/lifecycle';
import { createLogger, createMetrics } from '@ephemera/process';
import { createProducers } from '@ephemera/queue';
import { createStore, keysOf } from '@ephemera/store';
import { memoryContainers, sampleDraft, sampleTemplate, startRedis } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createWorker } from '../src/create-worker.ts';
import { DEFAULT_HOST_LISTEN } from '../src/host-interface/listen-address.ts';
import type { WorkerConfig } from '../src/create-worker.ts';
import { RECONCILE_INTERVAL_MS } from '../src/limits.ts';
import { startSpawnWorker } from '../src/spawn-worker.ts';
import { createWorkerMetrics } from '../src/worker-metrics.ts';
import { DOCKER_HOST, HOST, removeAll } from './docker-fixture.ts';

/**
 * Counts the commands that Redis executes, including those of scripts, in a deployment of 1,000 hosts
 * and 100,000 instances. The commands of BullMQ are counted apart. The figures are printed:
 *
 *     cd libs/worker && npx vitest run --config ../../vitest.config.ts test/redis-cost.test.ts
 */
const HOSTS = 1_000;
const INSTANCES_PER_HOST = 100;
const CREATIONS = 60;
const IDLE_MS = 20_000;

const GB = 2 ** 30;
const logger = createLogger('test', 'silent');
const template = sampleTemplate();

let server: StartedRedis;
/** Carries no command of what is measured. */
let observer: Redis;
beforeAll(async () => {
  server = await startRedis();
  observer = new Redis(server.url);
});
afterAll(async () => {
  observer.disconnect();
  await server.stop();
});

type Commands = ReadonlyMap<string, number>;

/** Returns how often each command has run since the start of the server. */
async function commandStats(): Promise<Commands> {
  const text = await observer.info('commandstats');
  const counts = new Map<string, number>();
  for (const [, name = '', calls] of text.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)) {
    if (name !== 'info') counts.set(name, Number(calls));
  }
  return counts;
}

async function commandsOf(work: () => Promise<unknown>): Promise<Map<string, number>> {
  const before = await commandStats();
  await work();
  const used = new Map<string, number>();
  for (const [name, calls] of await commandStats()) {
    const more = calls - (before.get(name) ?? 0);
    if (more > 0) used.set(name, more);
  }
  return used;
}

function sum(commands: Commands): number {
  return [...commands.values()].reduce((total, calls) => total + calls, 0);
}

const BULLMQ_KEY = /^\{[^}]+\}:(?:instance-spawn|instance-kill-[^:]+|pool-refill|webhook):/;

/**
 * Counts the commands during `work`, those of BullMQ apart, by their keys. A command without a key inside
 * a script counts for the script. BullMQ polls at its own rhythm, so the commands of a run of BullMQ
 * alone cannot be subtracted exactly.
 */
async function monitored<T>(work: () => Promise<T>) {
  const monitor = await new Redis(server.url).monitor();
  const [own, ofBullMq] = [new Map<string, number>(), new Map<string, number>()];
  const end = randomBytes(8).toString('hex');
  let [scriptOf, hasEnded] = [own, false];
  monitor.on('monitor', (_: string, [name = '', ...args]: string[], source: string) => {
    hasEnded ||= args[0] === end;
    if (hasEnded) return;
    const command = name.toLowerCase();
    const key = args.find((arg) => /^\{[^}]+\}:/.test(arg));
    const byKey = key !== undefined && BULLMQ_KEY.test(key) ? ofBullMq : own;
    const counts = key === undefined && source === 'lua' ? scriptOf : byKey;
    if (source !== 'lua') scriptOf = counts;
    counts.set(command, (counts.get(command) ?? 0) + 1);
  });
  const result = await work();
  await observer.echo(end);
  await vi.waitUntil(() => hasEnded, 10_000);
  monitor.disconnect();
  return { own, ofBullMq, result };
}

/** Without `MONITOR`, which sends each command to the test. */
const unmonitored: typeof monitored = async (work) => ({
  ...{ own: new Map(), ofBullMq: new Map() },
  result: await work(),
});

/** The commands of `used` without those of BullMQ alone. */
function without(used: Commands, ofBullMq: Commands): Map<string, number> {
  const left = new Map<string, number>();
  for (const name of new Set([...used.keys(), ...ofBullMq.keys()])) {
    left.set(name, (used.get(name) ?? 0) - (ofBullMq.get(name) ?? 0));
  }
  return left;
}

/** Prints the commands per unit, by frequency. Returns their sum. */
function print(what: string, own: Commands, ofBullMq: Commands, units: number): number {
  const parts = [...own].filter(([, calls]) => Math.abs(calls / units) >= 0.05);
  const names = parts
    .sort(([, a], [, b]) => b - a)
    .map(([name, calls]) => `${name} ${(calls / units).toFixed(1)}`);
  const [ours, theirs] = [sum(own) / units, sum(ofBullMq) / units];
  process.stdout.write(
    `${what}: ${ours.toFixed(3)}, BullMQ ${theirs.toFixed(1)} (${names.join(', ')})\n`,
  );
  return ours;
}

/** What the server has used since its start: CPU seconds, bytes of clients, bytes of memory. */
async function resources() {
  const text = await observer.info();
  const read = (name: string) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(text)?.[1] ?? 0);
  return {
    cpu: read('used_cpu_user') + read('used_cpu_sys'),
    received: read('total_net_input_bytes'),
    sent: read('total_net_output_bytes'),
    memory: read('used_memory'),
  };
}

/** Runs `work`, and prints what the server has used for it per unit. */
async function printResources<T>(what: string, units: number, work: () => Promise<T>): Promise<T> {
  const before = await resources();
  const result = await work();
  const after = await resources();
  const per = (name: keyof typeof before) => (after[name] - before[name]) / units;
  process.stdout.write(
    `${what}: ${(per('cpu') * 1000).toFixed(2)} ms of CPU of Redis, received ${Math.round(per('received'))} B, ` +
      `sent ${Math.round(per('sent'))} B, memory ${Math.round(per('memory'))} B\n`,
  );
  return result;
}

function openDeployment(namespace: string) {
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  const keys = keysOf(namespace);
  const store = createStore(redis, keys, 3_600_000);
  const producers = createProducers(redis, keys.queuePrefix);
  return {
    ...{ redis, keys, store, producers },
    options: { connection: redis, prefix: keys.queuePrefix, logger },
    async close() {
      await producers.close();
      redis.disconnect();
    },
  };
}

type Deployment = ReturnType<typeof openDeployment>;

const hostName = (i: number) => `host-${String(i).padStart(4, '0')}`;

/** Registers hosts. `HOST` is the first. */
async function registerHosts({ store }: Deployment, count: number): Promise<void> {
  const now = await store.instances.now();
  const register = async (host: string, i: number) => {
    const fingerprint = { bootId: host, networkId: host };
    const networks = [`10.${(i >> 8) + 1}.${i & 255}.0/24`];
    await store.hostRegistry.register({ host, fingerprint, networks }, 'refresh');
    // Alive for the whole test, however slow the machine is.
    await store.hosts.heartbeat(host, now + 600_000);
    // The limits that a worker registers by default.
    // `HOST` has less free memory than the others: each of its starts moves a reservation.
    const memory = (host === HOST ? 30 : 60) * GB;
    await store.hosts.setCapacity(host, { instances: 1_000, memory });
  };
  for (let i = 0; i < count; i++) await register(i === 0 ? HOST : hostName(i), i);
}

async function fill({ store }: Deployment): Promise<void> {
  const now = await store.instances.now();
  for (let h = 1; h <= HOSTS; h++) {
    const batch = Array.from({ length: INSTANCES_PER_HOST }, (_, i): Instance => {
      const draft = sampleDraft({ id: newId(randomBytes), template });
      return {
        ...draft,
        ...{ host: hostName(h), generation: h * INSTANCES_PER_HOST + i + 1, state: 'ready' },
        ...{ supersedes: undefined, reason: undefined, message: undefined },
        ...{ address: '10.231.9.9', createdAt: now, startedAt: now, activeAt: now },
        ...{ lastTransitionAt: now, expiresAt: now + 3_600_000, maxExpiresAt: now + 3_600_000 },
      };
    });
    await Promise.all(batch.map((instance) => store.instances.restore(instance)));
  }
}

/** Creates instances, and waits until they are ready. Returns the containers. */
async function createInstances(deployment: Deployment, count: number, run: typeof monitored) {
  const { store, producers, options } = deployment;
  const { instances, intake, progress } = store;
  const memory = memoryContainers();
  const containers: typeof memory = {
    ...memory,
    async start(instance, nextAddressIndex, reportProgress) {
      await reportProgress({ step: 'starting', message: 'Starting the container.' });
      return memory.start(instance, nextAddressIndex, reportProgress);
    },
  };
  const noQueues = () => Promise.resolve([]);
  const metrics = createWorkerMetrics(createMetrics('worker'), {
    instances: () => instances.count(),
    overlaps: () => 0,
    eventLog: () => store.readEventLogState(),
    deliveries: () => Promise.resolve(0),
    queues: noQueues,
    now: Date.now,
  });
  const { worker, stop } = startSpawnWorker(
    {
      ...{ instances, containers, progress, host: HOST, killJobs: producers.killJobs },
      addresses: store.addresses(HOST),
      probe: () => Promise.resolve({ ready: true }),
      pause: sleep,
    },
    { ...options, metrics },
  );
  await worker.waitUntilReady();
  let ready = 0;
  worker.on('completed', () => ready++);
  const ports = {
    ...{ intake, instances, spawns: producers.spawns },
    ...{ killJobs: producers.killJobs, killRequests: producers.killRequests },
    isReachable: () => Promise.resolve(true),
    refills: { request: () => Promise.resolve() },
    onError: (error: unknown) => {
      throw error;
    },
  };
  const { own, ofBullMq } = await run(async () => {
    for (let i = 0; i < count; i++) {
      const quotaOwner = { name: 'address:192.0.2.7', limit: 'address', max: 1_000 } as const;
      const taken = await acquireInstance(ports, sampleDraft({ template }), { quotaOwner });
      expect(taken.kind).toBe('created');
      await vi.waitUntil(() => ready > i, 10_000);
    }
  });
  await stop();
  return { own, ofBullMq, containers: memory };
}

/** A worker of this machine's Docker daemon without instances. */
async function idleWorker(namespace: string) {
  const worker = createWorker(workerConfig(namespace));
  try {
    const before = await commandStats();
    await worker.start();
    // All connections are made once the three queues and the requests of proxies are waited for.
    const waits = async () => {
      const now = await commandStats();
      const more = (name: string) => (now.get(name) ?? 0) - (before.get(name) ?? 0);
      return more('bzpopmin') >= 3 && more('blpop') >= 1;
    };
    await vi.waitUntil(waits, 20_000);
    return await monitored(() => sleep(IDLE_MS));
  } finally {
    await worker.stop();
    await removeAll(namespace);
  }
}

function workerConfig(namespace: string): WorkerConfig {
  return {
    ...{ namespace, redis: { url: server.url }, dockerHost: DOCKER_HOST, hostId: 'idle-host' },
    ...{ logLevel: 'silent', bind: '127.0.0.1', port: undefined },
    ...{ subnets: undefined, networkInstances: 1_000 },
    ...{ firewall: 'off', firewallImage: undefined, egress: { resolvers: [], blocked: [] } },
    ...{ capacity: { instances: 1_000 }, cpuPeriod: 10, pullTimeout: 60_000 },
    readLogins: () => new Map(),
    ...{ spawnConcurrency: 8, killConcurrency: 32, tombstone: 3_600_000 },
    hostListen: DEFAULT_HOST_LISTEN,
    ...{ signingKeys: 'k'.repeat(32), signingKeysFile: undefined, environment: {} },
    configFile: join(tmpdir(), `${namespace}-absent.yml`),
  };
}

test('the commands of Redis per creation, idle host and idle instance are bounded, whatever the number of hosts', async () => {
  // The namespace of Docker objects too.
  const namespace = `test-${randomBytes(4).toString('hex')}`;
  const deployment = openDeployment(namespace);
  const small = openDeployment('small');
  try {
    const measure = async (hosts: number, from: Deployment) => {
      const { own, ofBullMq, containers } = await createInstances(from, CREATIONS, monitored);
      return { cost: print(`creation, ${hosts} hosts`, own, ofBullMq, CREATIONS), containers };
    };
    await registerHosts(small, 2);
    const few = await measure(2, small);
    await printResources('creation', CREATIONS, () =>
      createInstances(small, CREATIONS, unmonitored),
    );

    await printResources('host', HOSTS, () => registerHosts(deployment, HOSTS + 1));
    await printResources('instance', HOSTS * INSTANCES_PER_HOST, () => fill(deployment));
    expect(await deployment.store.instances.count()).toBe(HOSTS * INSTANCES_PER_HOST);
    const many = await measure(HOSTS, deployment);
    expect(many.cost).toBeLessThanOrEqual(60);
    expect(many.cost).toBeLessThanOrEqual(few.cost + 2);

    const { intake, startQueue } = deployment.store;
    const limits = { ...template.limits, memory: 1_000 * GB };
    const tooLarge = sampleTemplate({ name: 'large', limits, whenFull: 'queue' });
    const refused = await commandsOf(async () => {
      const large = { ...tooLarge, whenFull: 'refuse' as const };
      const taken = await intake.createOrQueue(sampleDraft({ template: large }), {});
      expect(taken).toEqual({ kind: 'full', limit: 'hosts' });
    });
    expect(print('creation without capacity', refused, new Map(), 1)).toBeLessThanOrEqual(15);
    const queued = await intake.createOrQueue(sampleDraft({ template: tooLarge }), {});
    expect(queued.kind).toBe('queued');
    const waiting = await commandsOf(async () => {
      expect(await startQueue.dequeue(tooLarge.name)).toBeUndefined();
    });
    expect(print('attempt to start from the queue', waiting, new Map(), 1)).toBeLessThanOrEqual(15);

    const states = await commandsOf(async () => {
      const counts = await deployment.store.countStates();
      expect(counts.ready).toBe(HOSTS * INSTANCES_PER_HOST + CREATIONS);
      expect(counts.pending).toBe(1);
    });
    expect(
      print('states in the dashboard, per host', states, new Map(), HOSTS),
    ).toBeLessThanOrEqual(2);

    // An idle host has no queue.
    const { instances } = deployment.store;
    const id = queued.kind === 'queued' ? queued.instance.id : '';
    const ended = await instances.startDraining(id, 'request');
    if (ended.kind === 'draining') await instances.finalize(id, ended.instance.generation);

    const reconcileOnce = async (
      host: string,
      scan: HostScan,
      containers: ReturnType<typeof memoryContainers>,
    ) => {
      const { store, producers } = deployment;
      const fail = (error: unknown) => {
        throw error;
      };
      return reconcile({
        ...{ host, scan, containers, instances: store.instances },
        ...{ killJobs: producers.killJobs, spawns: producers.spawns },
        onRepair: (kind) => fail(new Error(kind)),
        onError: (_, __, error) => fail(error),
      });
    };
    /** The commands of as many runs as read each instance once. */
    const cycle = async (host: string, containers: ReturnType<typeof memoryContainers>) => {
      const scan = newHostScan();
      await reconcileOnce(host, scan, containers);
      return commandsOf(async () => {
        for (let i = 0; i < FULL_READ_RUNS; i++) await reconcileOnce(host, scan, containers);
      });
    };
    const ofHost = await cycle('empty', memoryContainers());
    const runs = without(await cycle(HOST, many.containers), ofHost);
    const perRun = print('reconciliation of an empty host', ofHost, new Map(), FULL_READ_RUNS);
    expect(perRun).toBeLessThanOrEqual(25);
    const seconds = (FULL_READ_RUNS * RECONCILE_INTERVAL_MS) / 1000;
    const perInstance = print('idle instance, per second', runs, new Map(), CREATIONS * seconds);
    expect(perInstance).toBeLessThanOrEqual(0.02);

    const { own, ofBullMq } = await idleWorker(namespace);
    const perHost = print('idle host, per second', own, ofBullMq, IDLE_MS / 1000);
    expect(perHost).toBeLessThanOrEqual(6);
  } finally {
    await small.close();
    await deployment.close();
  }
}, 240_000);
