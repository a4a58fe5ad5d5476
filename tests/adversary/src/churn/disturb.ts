import { setTimeout as sleep } from 'node:timers/promises';
import type { Testbed, Replica } from '../testbed.ts';
import type { Random } from '@ephemera/test-support';
import type { Relay } from './relay.ts';

interface Fixture {
  readonly testbed: Testbed;
  readonly replicas: readonly Replica[];
  readonly relays: readonly Relay[];
  readonly partitions: boolean;
}

/** Longer than a replica uses a route without proof, so that every clock in it has moved on. */
const MAX_STOP_MS = 6_500;

/** Makes trouble, one thing after the other, until told to stop; tells how often it did what. */
export async function disturb(
  fixture: Fixture,
  random: Random,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const done: Record<string, number> = {};
  const acts = fixture.partitions ? { partition } : { cut, hold, holdAndCut, pauseProcesses };
  const names = Object.keys(acts);
  for (let turn = 0; !signal.aborted; turn++) {
    const name = names[turn % names.length] ?? '';
    await acts[name as keyof typeof acts]?.(fixture, random, signal);
    done[name] = (done[name] ?? 0) + 1;
    await rest(100 + random(400), signal);
  }
  return done;
}

/** Every invalidation connection is killed. */
async function cut({ testbed }: Fixture): Promise<void> {
  await testbed.redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
}

/** One replica hears nothing of changes for a while, and of all of them then. */
async function hold({ relays }: Fixture, random: Random, signal: AbortSignal): Promise<void> {
  const relay = relays[random(relays.length)];
  relay?.hold();
  await rest(500 + random(3_500), signal);
  relay?.release();
}

/** One replica hears nothing of changes for a while, and its connection is killed then. */
async function holdAndCut(fixture: Fixture, random: Random, signal: AbortSignal): Promise<void> {
  const relay = fixture.relays[random(fixture.relays.length)];
  relay?.hold();
  await rest(500 + random(1_500), signal);
  await cut(fixture);
  relay?.release();
}

/** One replica stands still in the middle of everything, and goes on. */
async function pauseProcesses(
  { replicas }: Fixture,
  random: Random,
  signal: AbortSignal,
): Promise<void> {
  const replica = replicas[random(replicas.length)];
  replica?.signal('SIGSTOP');
  await rest(200 + random(MAX_STOP_MS), signal);
  replica?.signal('SIGCONT');
}

/** Redis is away for one replica, while everybody else goes on with it. */
async function partition({ relays }: Fixture, random: Random, signal: AbortSignal): Promise<void> {
  const relay = relays[random(relays.length)];
  relay?.holdAll();
  await rest(2_000 + random(3_000), signal);
  relay?.release();
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
