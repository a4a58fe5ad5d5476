import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis, type StartedRedis, waitFor } from '@ephemera/test-support';
import { type Ground, newId, type Replica, startGround } from './ground.ts';
import type { Options } from './options.ts';
import { newEchoInstance } from './plain-instance.ts';
import { print } from './report.ts';
import { get } from './restart/load.ts';

/** Frozen: it takes connections and answers nothing. Dead: connections to it are refused. */
export const WAYS = ['frozen', 'dead'] as const;
export type Way = (typeof WAYS)[number];

export interface Asked {
  readonly answers: Readonly<Record<string, number>>;
  /** The slowest of them, ms. */
  readonly slowest: number;
}

/** What was answered while Redis was away, within its grace. */
export interface AwayResult {
  readonly way: Way;
  /** For a known id, over a connection to its instance that was open before. */
  readonly known: Asked;
  /** For a known id whose instance closes every connection behind its answer. */
  readonly reconnecting: Asked;
  /** For ids that nobody knows. */
  readonly unknown: Asked;
  /** What it said of itself at the end: `/readyz`, and `/readyz/running`. */
  readonly readiness: { readonly ready: number; readonly running: number };
  /** From the return of Redis until an unknown id is answered as such again, ms. */
  readonly recovery: number;
}

/** Takes the Redis of a run away for a while, under a real proxy that is asked all the time. */
export async function redisAway(way: Way, awayMs: number): Promise<AwayResult> {
  const ground = await startGround();
  const instance = await newEchoInstance();
  let again: StartedRedis | undefined;
  try {
    const ids = {
      known: await ground.ready({ port: instance.port }),
      reconnecting: await ground.ready({ port: instance.port }),
    };
    const replica = await ground.replica();
    if (way === 'frozen') {
      const back = () => void process.kill(ground.redisPid, 'SIGCONT');
      return await askWhile(way, 'SIGSTOP', back, { ground, replica, ids, awayMs });
    }
    const back = async () => {
      again = await startRedis({ port: ground.redisPort });
    };
    return await askWhile(way, 'SIGKILL', back, { ground, replica, ids, awayMs });
  } finally {
    if (way === 'frozen') process.kill(ground.redisPid, 'SIGCONT');
    instance.stop();
    await ground.stop();
    await again?.stop();
  }
}

interface Scene {
  readonly ground: Ground;
  readonly replica: Replica;
  readonly ids: { readonly known: string; readonly reconnecting: string };
  readonly awayMs: number;
}

async function askWhile(
  way: Way,
  signal: NodeJS.Signals,
  back: () => unknown,
  { ground, replica: { publicPort, adminPort }, ids, awayMs }: Scene,
): Promise<AwayResult> {
  const agent = new Agent({ keepAlive: true });
  const known = () => get(agent, publicPort, `/demo/${ids.known}/`);
  const reconnecting = () => get(agent, publicPort, `/demo/${ids.reconnecting}/close`);
  const unknown = () => get(agent, publicPort, `/demo/${newId()}/`);
  await Promise.all([known(), reconnecting()]);
  process.kill(ground.redisPid, signal);
  const end = performance.now() + awayMs;
  const asked = await Promise.all([known, reconnecting, unknown].map((ask) => askUntil(end, ask)));
  const [forKnown = NONE, forReconnecting = NONE, forUnknown = NONE] = asked;
  const statusOf = async (path: string) =>
    (await fetch(`http://127.0.0.1:${adminPort}${path}`)).status;
  const readiness = {
    ready: await statusOf('/readyz'),
    running: await statusOf('/readyz/running'),
  };
  const returned = performance.now();
  await back();
  await waitFor('the recovery', async () => (await unknown()) === '404');
  agent.destroy();
  const recovery = performance.now() - returned;
  const answered = { known: forKnown, reconnecting: forReconnecting, unknown: forUnknown };
  return { way, ...answered, readiness, recovery };
}

const NONE: Asked = { answers: {}, slowest: Number.NaN };

async function askUntil(end: number, ask: () => Promise<string>): Promise<Asked> {
  const answers: Record<string, number> = {};
  let slowest = 0;
  while (performance.now() < end) {
    const before = performance.now();
    const answer = await ask();
    slowest = Math.max(slowest, performance.now() - before);
    answers[answer] = (answers[answer] ?? 0) + 1;
    await sleep(50);
  }
  return { answers, slowest };
}

export async function runRedisAway(options: Options): Promise<boolean> {
  let isWell = true;
  for (const way of WAYS) {
    const result = await redisAway(way, Number(options.count ?? 20) * 1_000);
    print(JSON.stringify(result, undefined, 2));
    const { known, reconnecting, unknown, recovery } = result;
    isWell &&= isOnly(known, '200') && isOnly(reconnecting, '200') && isOnly(unknown, '503');
    isWell &&= unknown.slowest < 250 && recovery < 3_000;
  }
  return isWell;
}

function isOnly({ answers }: Asked, status: string): boolean {
  return Object.keys(answers).every((answer) => answer === status);
}
