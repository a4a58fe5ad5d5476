import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectRedis, keysOf } from '@ephemera/store';
import type { Keys } from '@ephemera/store';
import { type Deployment, type Random, deploy, print, randomFrom } from '@ephemera/test-support';
import type { Redis } from 'ioredis';
import { type Broken, INVARIANTS, check } from './invariants/invariants.ts';
import { Oracle } from './invariants/oracle.ts';
import { look } from './invariants/read-snapshot.ts';
import type { Invariant, Snapshot } from './invariants/snapshot.ts';
import { type Background, startBackground } from './load/background.ts';
import type { ClientPorts } from './load/clients.ts';
import { type Daemon, daemonOf } from './load/daemon.ts';
import { Expectations } from './load/expectations.ts';
import { startReceiver } from './load/receiver.ts';
import { templatesOf } from './load/templates.ts';
import { closing } from './open.ts';

/** A deployment under work, with somebody who looks at everything. */
export interface Testbed extends ClientPorts {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly daemon: Daemon;
  readonly random: Random;
  readonly background: Background;
  /** Looks at everything there is now. */
  look(): Promise<Snapshot>;
  /** Pauses the background and waits until every invariant holds; tells what does not. */
  recovered(options?: RecoveredOptions): Promise<Recovery>;
  /** Takes everything away again. */
  stop(): Promise<void>;
}

export interface RecoveredOptions {
  /** All of them where absent. */
  readonly invariants?: readonly Invariant[];
  /** When the recovery began, on the monotonic clock; now where absent. */
  readonly since?: number;
}

export interface Recovery {
  /** How long it took until every invariant held, ms. */
  readonly took: number;
  /** What did not hold when the time was up. */
  readonly broken: readonly Broken[];
}

export interface TestbedOptions {
  readonly seed: number;
  readonly workers?: number;
  /** Starts what is to be there before the work begins: nobody is told of what was before the first worker. */
  readonly prepare?: (site: Deployment) => Promise<unknown>;
  readonly proxies?: number;
  readonly redisArgs?: string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What is started, and how; the deaths of a few seconds that the scenarios want where absent. */
  readonly templates?: (receiverPort: number) => string;
  readonly work?: (ports: ClientPorts) => Background;
  /** Where the daemon listens; the one of this machine where absent. */
  readonly socketPath?: string;
}

/** How long to leave the machine to the deployment between two looks, ms. */
const BETWEEN_LOOKS = 400;

export async function startTestbed(options: TestbedOptions): Promise<Testbed> {
  const { seed, socketPath = '/var/run/docker.sock' } = options;
  const { templates = templatesOf, work = startBackground } = options;
  const receiver = await startReceiver();
  // What was started is taken away again also where the run is broken off.
  const stops: (() => Promise<void> | void)[] = [() => receiver.stop()];
  const stop = closing(async () => {
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
    look: () => look(ports),
    async recovered({ invariants = INVARIANTS, since = performance.now() } = {}) {
      await background.pause();
      const oracle = new Oracle();
      for (;;) {
        const took = performance.now() - since;
        const broken = check(await look(ports), invariants);
        if (!oracle.observe(broken, took)) {
          await sleep(BETWEEN_LOOKS);
          continue;
        }
        if (oracle.verdict.length > 0) keepLogs(site);
        return { took, broken: oracle.verdict };
      }
    },
    stop,
  };
}

/** What every process has written, for whoever asks why something was broken. */
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
