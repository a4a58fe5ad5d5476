import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { descriptors, startChild } from '../child.ts';
import { startGround } from '../ground.ts';
import { installed } from '../installed.ts';
import { newEchoInstance } from '../plain-instance.ts';
import { percentile, steadyLoad } from '../restart/load.ts';

/** How slowhttptest attacks: heads that do not end, bodies that trickle, answers hardly read. */
const ATTACKS = {
  headers: ['-H', '-i', '5', '-x', '24'],
  bodies: ['-B', '-i', '5', '-s', '8192', '-x', '10', '-t', 'POST'],
  reading: ['-X', '-w', '512', '-y', '1024', '-n', '5', '-z', '32', '-k', '3'],
} as const;

export type Attack = keyof typeof ATTACKS;
export const attacks = Object.keys(ATTACKS) as Attack[];

export interface SlowResult {
  readonly attack: Attack;
  readonly connections: number;
  /** Most descriptors that the replica had open at once, beyond those before the attack. */
  readonly most: number;
  /** Those still open when the attack was over for a moment. */
  readonly left: number;
  readonly others: {
    readonly before: Figures;
    readonly during: Figures;
    /** How many times the p99 of before the p99 during the attack is. */
    readonly ratio: number;
  };
  readonly failed: Readonly<Record<string, number>>;
}

export interface Figures {
  readonly p50: number;
  readonly p99: number;
}

/**
 * Attacks a replica with slow clients while others ask at a steady rate.
 *
 * @param seconds how long the attack and the time before it take
 */
export async function slowClients(
  attack: Attack,
  connections: number,
  seconds: number,
): Promise<SlowResult> {
  const slowhttptest = await installed('slowhttptest');
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-slow-'));
  const ground = await startGround();
  const instance = await newEchoInstance();
  try {
    const id = await ground.ready({ port: instance.port });
    const replica = await ground.replica();
    const path = `/demo/${id}/${attack === 'reading' ? 'big' : ''}`;
    const others = { port: replica.publicPort, path: `/demo/${id}/`, perSecond: 200 };
    // The first answers come from code that is not compiled yet.
    await loadFor(others, seconds * 250);
    const before = await loadFor(others, seconds * 1_000);
    const atRest = descriptors(replica.pid);
    const url = `http://127.0.0.1:${replica.publicPort}${path}`;
    const common = ['-c', connections, '-r', Math.ceil(connections / 5), '-l', seconds, '-p', 3];
    const attacker = startChild(slowhttptest, [
      ...common.map(String),
      ...ATTACKS[attack],
      '-u',
      url,
      ...['-o', join(folder, 'slow')],
    ]);
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, descriptors(replica.pid) - atRest);
    }, 100);
    const during = await loadFor(others, seconds * 1_000);
    clearInterval(watch);
    await attacker.stop(1_000);
    await sleep(1_000);
    const left = Math.max(0, descriptors(replica.pid) - atRest);
    const [calm, attacked] = [figures(before.durations), figures(during.durations)];
    return {
      attack,
      connections,
      most,
      left,
      others: { before: calm, during: attacked, ratio: attacked.p99 / calm.p99 },
      failed: during.failed,
    };
  } finally {
    instance.stop();
    await ground.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function loadFor(options: { port: number; path: string; perSecond: number }, ms: number) {
  const stop = new AbortController();
  const load = steadyLoad(options, stop.signal);
  await sleep(ms);
  stop.abort();
  return await load;
}

function figures(sorted: readonly number[]): Figures {
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
}
