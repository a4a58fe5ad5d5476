import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  print,
  SETTLED_DATASET,
  type StartedRedis,
  startRedis,
  waitFor,
} from '@ephemera/test-support';
import { type Testbed, newId, type Replica, startTestbed } from './testbed.ts';
import type { Options } from './options.ts';
import { newEchoInstance } from './plain-instance.ts';
import { get } from './restart/load.ts';

/** Frozen: it accepts connections and never replies. Dead: it refuses connections. */
export const OUTAGES = ['frozen', 'dead'] as const;
export type Outage = (typeof OUTAGES)[number];

export interface Asked {
  readonly answers: Readonly<Record<string, number>>;
  /** The slowest response, ms. */
  readonly slowest: number;
}

/** The responses while Redis was unavailable, within the grace period. */
export interface OutageResult {
  readonly outage: Outage;
  /** For a known id, on a connection to its instance that was already open. */
  readonly known: Asked;
  /** For a known id whose instance closes the connection after each response. */
  readonly reconnecting: Asked;
  /** For unknown ids. */
  readonly unknown: Asked;
  /** The readiness at the end: `/readyz`, and `/readyz/running`. */
  readonly readiness: { readonly ready: number; readonly running: number };
  /** From the return of Redis until an unknown id gets its 404 again, ms. */
  readonly recovery: number;
}

/** Makes the Redis of a run unavailable for a while, during continuous requests to a real proxy. */
export async function redisUnavailable(outage: Outage, outageMs: number): Promise<OutageResult> {
  const testbed = await startTestbed();
  const instance = await newEchoInstance();
  let again: StartedRedis | undefined;
  try {
    const ids = {
      known: await testbed.ready({ port: instance.port }),
      reconnecting: await testbed.ready({ port: instance.port }),
    };
    const replica = await testbed.replica();
    if (outage === 'frozen') {
      const back = () => void process.kill(testbed.redisPid, 'SIGCONT');
      return await askWhile(outage, 'SIGSTOP', back, { testbed, replica, ids, outageMs });
    }
    const back = async () => {
      again = await startRedis({ port: testbed.redisPort });
      await testbed.redis.set(testbed.keys.dataset, SETTLED_DATASET);
    };
    return await askWhile(outage, 'SIGKILL', back, { testbed, replica, ids, outageMs });
  } finally {
    if (outage === 'frozen') process.kill(testbed.redisPid, 'SIGCONT');
    instance.stop();
    await testbed.stop();
    await again?.stop();
  }
}

interface Fixture {
  readonly testbed: Testbed;
  readonly replica: Replica;
  readonly ids: { readonly known: string; readonly reconnecting: string };
  readonly outageMs: number;
}

async function askWhile(
  outage: Outage,
  signal: NodeJS.Signals,
  back: () => unknown,
  { testbed, replica: { publicPort, adminPort }, ids, outageMs }: Fixture,
): Promise<OutageResult> {
  const agent = new Agent({ keepAlive: true });
  const known = () => get(agent, publicPort, `/demo/${ids.known}/`);
  const reconnecting = () => get(agent, publicPort, `/demo/${ids.reconnecting}/close`);
  const unknown = () => get(agent, publicPort, `/demo/${newId()}/`);
  await Promise.all([known(), reconnecting()]);
  process.kill(testbed.redisPid, signal);
  const end = performance.now() + outageMs;
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
  return { outage, ...answered, readiness, recovery };
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

export async function runRedisUnavailable(options: Options): Promise<boolean> {
  let isWell = true;
  for (const outage of OUTAGES) {
    const result = await redisUnavailable(outage, (options.count ?? 20) * 1_000);
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
