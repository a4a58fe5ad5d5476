import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectRedis, keysOf } from '@ephemera/store';
import type { Keys } from '@ephemera/store';
import { type Deployment, type Random, deploy, print, randomFrom } from '@ephemera/test-support';
import type { Redis } from 'ioredis';
import { type Broken, INVARIANTS, check } from './invariants/invariants.ts';
import { Oracle } from './invariants/oracle.ts';
import { readSnapshot } from './invariants/read-snapshot.ts';
import type { Invariant, Snapshot } from './invariants/snapshot.ts';
import { type Background, startBackground } from './load/background.ts';
import type { ClientPorts } from './load/clients.ts';
import { type Daemon, daemonOf } from './load/daemon.ts';
import { Expectations } from './load/expectations.ts';
import { startReceiver } from './load/receiver.ts';
import { templatesOf } from './load/templates.ts';
import { registerCleanup } from './open.ts';

/** A deployment with background load, and access to its state. */
export interface Testbed extends ClientPorts {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly daemon: Daemon;
  readonly random: Random;
  readonly background: Background;
  /** Reads the current state. */
  readSnapshot(): Promise<Snapshot>;
  /** Pauses the background, waits until every invariant holds, and returns the violations. */
  recovered(options?: RecoveredOptions): Promise<Recovery>;
  /** Removes everything that the testbed started. */
  stop(): Promise<void>;
}

export interface RecoveredOptions {
  /** All invariants by default. */
  readonly invariants?: readonly Invariant[];
  /** Start of the recovery on the monotonic clock; now by default. */
  readonly since?: number;
}

export interface Recovery {
  /** Time until the result was final, ms. */
  readonly took: number;
  /** The invariants that did not hold by their deadline. */
  readonly broken: readonly Broken[];
}

export interface TestbedOptions {
  readonly seed: number;
  readonly workers?: number;
  /** Starts further processes before the background starts. */
  readonly prepare?: (site: Deployment) => Promise<unknown>;
  readonly proxies?: number;
  readonly redisArgs?: string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Templates to start; by default those with deadlines of a few seconds. */
  readonly templates?: (receiverPort: number) => string;
  readonly work?: (ports: ClientPorts) => Background;
  /** Socket of the daemon; by default the one of this machine. */
  readonly socketPath?: string;
}

/** Interval between two snapshots, ms. The deployment needs the CPU meanwhile. */
const SNAPSHOT_INTERVAL_MS = 400;

export async function startTestbed(options: TestbedOptions): Promise<Testbed> {
  const { seed, socketPath = '/var/run/docker.sock' } = options;
  const { templates = templatesOf, work = startBackground } = options;
  const receiver = await startReceiver();
  // Cleanup functions, which also run if the run is interrupted.
  const stops: (() => Promise<void> | void)[] = [() => receiver.stop()];
  const stop = registerCleanup(async () => {
    for (let next = stops.pop(); next; next = stops.pop()) await next();
  });
  const site = await deploy({
    templates: templates(receiver.port),
    workers: options.workers ?? 1,
    proxies: options.proxies ?? 2,
    redisArgs: options.redisArgs ?? ['--appendonly', 'yes'],
    env: { DOCKER_HOST: `unix://${socketPath}`, ...options.env },
  }).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  stops.push(() => site.stop());
  await options.prepare?.(site).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  const redis = connectRedis(site.redis.url, 'job', () => undefined);
  stops.push(() => redis.disconnect());
  const keys = keysOf(site.namespace);
  const daemon = daemonOf(site.namespace, socketPath);
  const ends = new Map<string, number[]>();
  const unwatch = await daemon.watchEnds((id, at) => ends.set(id, [...(ends.get(id) ?? []), at]));
  stops.push(() => unwatch());
  const expectations = new Expectations();
  const random = randomFrom(seed);
  const clients = { site, expectations, random };
  const background = work(clients);
  stops.push(() => background.pause());
  const ports = { site, redis, keys, daemon, expectations, ends, deliveries: receiver.received };
  return {
    ...clients,
    redis,
    keys,
    daemon,
    background,
    readSnapshot: () => readSnapshot(ports),
    async recovered({ invariants = INVARIANTS, since = performance.now() } = {}) {
      await background.pause();
      const oracle = new Oracle();
      for (;;) {
        const took = performance.now() - since;
        const broken = check(await readSnapshot(ports), invariants);
        if (!oracle.observe(broken, took)) {
          await sleep(SNAPSHOT_INTERVAL_MS);
          continue;
        }
        if (oracle.verdict.length > 0) keepLogs(site);
        return { took, broken: oracle.verdict };
      }
    },
    stop,
  };
}

/** Saves the logs of all processes for the analysis of a violation. */
function keepLogs({ namespace, workers, proxies }: Deployment): void {
  const folder = join(import.meta.dirname, '../test-results');
  mkdirSync(folder, { recursive: true });
  const texts = [...workers, ...proxies].map(
    ({ name, child, log }) => `=== ${name} ${child.pid}\n${log()}`,
  );
  const file = join(folder, `${namespace}.log`);
  writeFileSync(file, texts.join('\n'));
  print(`the logs are in ${file}`);
}
