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

/** Longer than a replica uses a route without proof, so that all of its timers expire. */
const MAX_STOP_MS = 6_500;

/** Runs one disturbance after another until the signal aborts. Returns how often each ran. */
export async function disturb(
  fixture: Fixture,
  random: Random,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const done: Record<string, number> = {};
  const actions = fixture.partitions ? { partition } : { cut, hold, holdAndCut, pauseProcesses };
  const names = Object.keys(actions);
  for (let turn = 0; !signal.aborted; turn++) {
    const name = names[turn % names.length] ?? '';
    await actions[name as keyof typeof actions]?.(fixture, random, signal);
    done[name] = (done[name] ?? 0) + 1;
    await rest(100 + random(400), signal);
  }
  return done;
}

/** Kills every invalidation connection. */
async function cut({ testbed }: Fixture): Promise<void> {
  await testbed.redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
}

/** Delays the invalidations of one replica, and then delivers all of them. */
async function hold({ relays }: Fixture, random: Random, signal: AbortSignal): Promise<void> {
  const relay = relays[random(relays.length)];
  relay?.hold();
  await rest(500 + random(3_500), signal);
  relay?.release();
}

/** Delays the invalidations of one replica, and then kills its connection. */
async function holdAndCut(fixture: Fixture, random: Random, signal: AbortSignal): Promise<void> {
  const relay = fixture.relays[random(fixture.relays.length)];
  relay?.hold();
  await rest(500 + random(1_500), signal);
  await cut(fixture);
  relay?.release();
}

/** Stops one replica with SIGSTOP, and continues it. */
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

/** Makes Redis unavailable for one replica, while all others keep using it. */
async function partition({ relays }: Fixture, random: Random, signal: AbortSignal): Promise<void> {
  const relay = relays[random(relays.length)];
  relay?.holdAll();
  await rest(2_000 + random(3_000), signal);
  relay?.release();
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
