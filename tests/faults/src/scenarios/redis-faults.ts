import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { print, startRedis, waitFor } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { type Testbed, startTestbed } from '../testbed.ts';
import {
  noStrayNetworks,
  noneOverdue,
  oneContainerAnId,
  sameSets,
  settled,
} from '../invariants/containers.ts';
import { noViolations } from '../invariants/promises.ts';
import { keysOwned, setsOwned } from '../invariants/reservations.ts';
import type { Options } from '../options.ts';
import { Report } from '../report.ts';
import { printExpectations } from './recover.ts';

type Fault = (testbed: Testbed) => Promise<void>;

/** Faults after which Redis has every acknowledged write. */
const KEPT: Readonly<Record<string, Fault>> = {
  'all connections cut': async ({ redis }) => {
    for (let i = 0; i < 5; i++) {
      await redis.call('CLIENT', 'KILL', 'SKIPME', 'yes', 'TYPE', 'pubsub').catch(() => undefined);
      await redis.call('CLIENT', 'KILL', 'SKIPME', 'yes', 'TYPE', 'normal').catch(() => undefined);
      await sleep(700);
    }
  },
  'CLIENT PAUSE for 8 s': async ({ redis }) => {
    await redis.call('CLIENT', 'PAUSE', '8000', 'ALL');
    await sleep(8_000);
  },
  'frozen for 8 s': async ({ site }) => {
    process.kill(site.redis.pid, 'SIGSTOP');
    await sleep(8_000);
    process.kill(site.redis.pid, 'SIGCONT');
  },
  'killed, restarted with its file': ({ site }) => site.redis.restart('KILL'),
  'out of memory for 10 s': async ({ redis }) => {
    await redis.config('SET', 'maxmemory', '1');
    await sleep(10_000);
    await redis.config('SET', 'maxmemory', '0');
  },
};

/** Faults after which Redis has lost acknowledged writes. */
const LOST: Readonly<Record<string, Fault>> = {
  'a promoted replica, 4 s behind': failOver,
  FLUSHALL: async ({ redis }) => {
    await redis.flushall();
  },
  'killed, restarted without its file': async ({ site, redis }) => {
    const [, folder = ''] = await redis.config('GET', 'dir');
    await rm(join(folder, 'appendonlydir'), { recursive: true, force: true });
    await site.redis.restart('KILL');
  },
};

export const REDIS_FAULTS = [...Object.keys(KEPT), ...Object.keys(LOST)];

/**
 * Invariants that hold despite lost writes: nothing leaks, and no client reaches the instance of
 * another.
 */
const WITHOUT_MEMORY = [
  noneOverdue,
  oneContainerAnId,
  sameSets,
  settled,
  noStrayNetworks,
  setsOwned,
  keysOwned,
  noViolations,
];

/** How long the background runs before and after each fault, ms. */
const WORK = 5_000;

/** All faults of Redis, each once per run. */
export async function redisFaults(options: Options): Promise<boolean> {
  const report = new Report();
  await runFaults(KEPT, options, report, undefined);
  for (const [name, fault] of Object.entries(LOST)) {
    await runFaults({ [name]: fault }, options, report, WITHOUT_MEMORY);
  }
  report.print();
  return report.holds;
}

/** Injects the faults one after the other into one deployment. */
async function runFaults(
  faults: Readonly<Record<string, Fault>>,
  { seed, runs = 1, steps: only }: Options,
  report: Report,
  invariants: typeof WITHOUT_MEMORY | undefined,
): Promise<void> {
  const chosen = Object.entries(faults).filter(
    ([name]) => only.length === 0 || only.includes(name),
  );
  if (chosen.length === 0) return;
  const testbed = await startTestbed({ seed });
  try {
    for (let run = 0; run < runs; run++) {
      for (const [name, fault] of chosen) {
        await sleep(WORK);
        await fault(testbed);
        report.run(name, true);
        await sleep(WORK);
        const { took, broken } = await testbed.recovered({ ...(invariants && { invariants }) });
        report.recovered([name], took, broken);
        print(`${name}: recovered in ${(took / 1000).toFixed(1)} s`);
        testbed.background.resume();
      }
    }
  } finally {
    printExpectations(testbed);
    await testbed.stop();
  }
}

/**
 * Stops the replication, kills the master four seconds later, and lets the replica take over its
 * port. The writes of these four seconds are lost.
 */
async function failOver({ site, redis }: Testbed): Promise<void> {
  const { port } = site.redis;
  const master = ['--replicaof', '127.0.0.1', String(port)];
  const started = await startRedis({ args: ['--repl-diskless-sync-delay', '0', ...master] });
  const replica = new Redis(started.url);
  try {
    await waitFor('the replica', async () => {
      return (await replica.info('replication')).includes('master_link_status:up');
    });
    await sleep(1_000);
    await replica.replicaof('NO', 'ONE');
    await sleep(4_000);
    process.kill(site.redis.pid, 'SIGKILL');
    await waitFor('its port', async () => (await replica.config('SET', 'port', port)) === 'OK');
    await waitFor('a write', async () => (await redis.config('SET', 'maxmemory', '0')) === 'OK');
  } finally {
    replica.disconnect();
  }
}
