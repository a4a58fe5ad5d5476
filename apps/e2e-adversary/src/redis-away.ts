import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '@ephemera/testing';
import { type Ground, newId, type Replica, startGround } from './ground.ts';
import type { Options } from './options.ts';
import { newEchoInstance } from './plain-instance.ts';
import { print } from './report.ts';
import { get } from './restart/load.ts';

export interface AwayResult {
  /** Answers for a known id while Redis was away, within its grace. */
  readonly known: Readonly<Record<string, number>>;
  /** Answers for ids that nobody knows, and the slowest of them, ms. */
  readonly unknown: Readonly<Record<string, number>>;
  readonly slowestUnknown: number;
  /** From the return of Redis until an unknown id is answered as such again, ms. */
  readonly recovery: number;
}

/** Freezes the Redis of a run for a while, under a real proxy that is asked all the time. */
export async function redisAway(awayMs: number): Promise<AwayResult> {
  const ground = await startGround();
  const instance = await newEchoInstance();
  try {
    const id = await ground.ready({ port: instance.port });
    return await freeze(ground, await ground.replica(), id, awayMs);
  } finally {
    process.kill(ground.redisPid, 'SIGCONT');
    instance.stop();
    await ground.stop();
  }
}

async function freeze(
  { redisPid }: Ground,
  { publicPort }: Replica,
  id: string,
  awayMs: number,
): Promise<AwayResult> {
  const agent = new Agent({ keepAlive: true });
  const known: Record<string, number> = {};
  const unknown: Record<string, number> = {};
  let slowestUnknown = 0;
  await get(agent, publicPort, `/demo/${id}/`);
  process.kill(redisPid, 'SIGSTOP');
  const end = performance.now() + awayMs;
  while (performance.now() < end) {
    const forKnown = await get(agent, publicPort, `/demo/${id}/`);
    known[forKnown] = (known[forKnown] ?? 0) + 1;
    const before = performance.now();
    const forUnknown = await get(agent, publicPort, `/demo/${newId()}/`);
    slowestUnknown = Math.max(slowestUnknown, performance.now() - before);
    unknown[forUnknown] = (unknown[forUnknown] ?? 0) + 1;
    await sleep(50);
  }
  process.kill(redisPid, 'SIGCONT');
  const back = performance.now();
  await waitFor('the recovery', async () => {
    return (await get(agent, publicPort, `/demo/${newId()}/`)) === '404';
  });
  agent.destroy();
  return { known, unknown, slowestUnknown, recovery: performance.now() - back };
}

export async function runRedisAway(options: Options): Promise<boolean> {
  const result = await redisAway(Number(options.count ?? 20) * 1_000);
  print(JSON.stringify(result, undefined, 2));
  return (
    Object.keys(result.known).every((status) => status === '200') &&
    Object.keys(result.unknown).every((status) => status === '503') &&
    result.slowestUnknown < 250 &&
    result.recovery < 3_000
  );
}
