import { setTimeout as sleep } from 'node:timers/promises';
import type { App } from '@ephemera/test-support';
import { terminate } from '@ephemera/test-support';
import type { Testbed } from '../testbed.ts';
import { liveIds } from '../load/background.ts';

/** Injects a fault and returns after it has ended and all processes run again. */
export type Fault = (testbed: Testbed) => Promise<void>;

/**
 * The faults of a soak, one per minute. The first worker and the first proxy are never replaced, so
 * their memory and descriptors can be measured for the whole run.
 */
export const FAULTS: Readonly<Record<string, Fault>> = {
  'a worker killed': (testbed) => replaceWorker(testbed, killed),
  'a worker stopped by SIGTERM': (testbed) => replaceWorker(testbed, terminate),
  'all workers frozen for 15 s': async ({ site }) => {
    await frozen(running(site.workers).map(pidOf), 15_000);
  },
  'one worker frozen for 10 s': async ({ site, random }) => {
    await frozen([pidOf(oneOf(running(site.workers), random))], 10_000);
  },
  'a proxy killed': async ({ site }) => {
    const last = site.proxies.length - 1;
    const proxy = site.proxies[last];
    if (proxy) await killed(proxy);
    await sleep(1_000);
    await site.startProxy({}, last);
  },
  'a proxy frozen for 8 s': async ({ site, random }) => {
    await frozen([pidOf(oneOf(site.proxies, random))], 8_000);
  },
  'Redis restarted': ({ site }) => site.redis.restart('TERM'),
  'Redis killed and restarted': ({ site }) => site.redis.restart('KILL'),
  'Redis frozen for 6 s': ({ site }) => frozen([site.redis.pid], 6_000),
  'Redis pauses its clients for 6 s': async ({ redis }) => {
    await redis.call('CLIENT', 'PAUSE', '6000', 'ALL');
    await sleep(6_000);
  },
  'all connections to Redis cut, three times': async ({ redis }) => {
    for (let i = 0; i < 3; i++) {
      await redis.call('CLIENT', 'KILL', 'SKIPME', 'yes', 'TYPE', 'pubsub').catch(() => undefined);
      await redis.call('CLIENT', 'KILL', 'SKIPME', 'yes', 'TYPE', 'normal').catch(() => undefined);
      await sleep(1_000);
    }
  },
  'containers killed from outside': (testbed) => damage(testbed, ['kill']),
  'containers removed from outside': (testbed) => damage(testbed, ['rm', '-f']),
  'containers paused from outside': (testbed) => damage(testbed, ['pause']),
};

const DAMAGE_COMMANDS = 4;

/** Runs a `docker` command on some containers without Ephemera. */
async function damage({ daemon, expectations, random }: Testbed, command: string[]): Promise<void> {
  const live = new Set(liveIds(expectations));
  const containers = (await daemon.containers()).filter(
    ({ Labels, State }) => live.has(Labels['ephemera.instance'] ?? '') && State === 'running',
  );
  for (let i = 0; i < DAMAGE_COMMANDS && containers.length > 0; i++) {
    const [chosen] = containers.splice(random(containers.length), 1);
    const id = chosen?.Labels['ephemera.instance'];
    if (!chosen || id === undefined) continue;
    expectations.damaged.add(id);
    // Fails for a container that has already exited.
    await daemon.command(...command, chosen.Id).catch(() => undefined);
  }
}

async function replaceWorker({ site }: Testbed, end: (app: App) => Promise<void>): Promise<void> {
  const worker = running(site.workers).at(-1);
  if (worker) await end(worker);
  await sleep(1_000);
  await site.startWorker();
}

async function killed({ child }: App): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

async function frozen(pids: readonly number[], ms: number): Promise<void> {
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  await sleep(ms);
  for (const pid of pids) process.kill(pid, 'SIGCONT');
}

export function running(apps: readonly App[]): App[] {
  return apps.filter(({ child }) => child.exitCode === null && child.signalCode === null);
}

export function pidOf({ child }: App): number {
  if (child.pid === undefined) throw new Error('the process has not started');
  return child.pid;
}

function oneOf<T>(things: readonly T[], random: (below: number) => number): T {
  const thing = things[random(things.length)];
  if (thing === undefined) throw new Error('the list is empty');
  return thing;
}
