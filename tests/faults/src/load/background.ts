import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '@ephemera/test-support';
import { type ClientPorts, create, hasEnded, kill, renew, visit } from './clients.ts';
import type { Expectations } from './expectations.ts';

/** Creations, renewals, claims, kills and requests that run while faults are injected. */
export interface Background {
  /** Waits for the responses to requests in flight, and starts no further requests. */
  pause(): Promise<void>;
  resume(): void;
}

/** The templates of new instances, in proportion to their frequency. */
const TEMPLATES = ['plain', 'plain', 'plain', 'stubborn', 'stubborn', 'pooled', 'pooled'];

/** Number of live instances that the clients aim at; suits a machine with two cores. */
const LIVE = 6;
/**
 * Number of instances of `few` beside them. It is one more than the `maxInstances` of `few`, so that
 * one instance is in the start queue at any time. Each worker then has something to dequeue.
 */
const FEW = 2;
/** How long an instance with an unknown deadline counts as live, ms. */
const UNKNOWN = 120_000;

export function startBackground(ports: ClientPorts): Background {
  const { expectations, random } = ports;
  let on = true;
  let stopped: Promise<unknown> = Promise.resolve();
  const loop = async (pause: number, work: () => Promise<unknown>) => {
    while (on) {
      await work();
      await sleep(pause + random(pause));
    }
  };
  const some = () => {
    const live = liveIds(expectations);
    return live[random(live.length || 1)];
  };
  const creating = async () => {
    if (liveIds(expectations).length >= LIVE) return;
    await create(ports, TEMPLATES[random(TEMPLATES.length)] ?? 'plain', timeoutOf(random));
  };
  const few = new Set<string>();
  const queuing = async () => {
    for (const id of few) if (await hasEnded(ports, id)) few.delete(id);
    const id = few.size < FEW ? await create(ports, 'few', 1) : undefined;
    if (id !== undefined) few.add(id);
  };
  const withSome = (work: (id: string) => Promise<void>) => async () => {
    const id = some();
    if (id !== undefined) await work(id);
  };
  const renewing = withSome((id) => renew(ports, id, 2 + random(6)));
  const killing = withSome((id) => kill(ports, id));
  const visiting = withSome((id) => visit(ports, id));
  const start = () =>
    Promise.all([
      loop(150, creating),
      loop(150, creating),
      loop(300, queuing),
      loop(500, renewing),
      loop(900, killing),
      loop(100, visiting),
    ]);
  stopped = start();
  return {
    async pause() {
      on = false;
      await stopped;
    },
    resume() {
      if (on) return;
      on = true;
      stopped = start();
    },
  };
}

/** Most instances live for seconds. Some outlive a recovery or are killed. */
function timeoutOf(random: Random): number {
  return random(6) === 0 ? 60 + random(60) : 3 + random(5);
}

/** Ids that may be live: their deadline is unknown or has not passed. */
export function liveIds({ promised }: Expectations): string[] {
  const now = Date.now();
  const live = [...promised.values()].filter(
    ({ promisedUntil, killAskedAt, born }) =>
      killAskedAt === undefined && (promisedUntil ?? born + UNKNOWN) > now,
  );
  return live.map(({ id }) => id);
}
