import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '@ephemera/test-support';
import { type ClientPorts, create, kill, renew, visit } from './clients.ts';
import type { Expectations } from './expectations.ts';

/** Creations, renewals, claims, kills and requests that run while faults are injected. */
export interface Background {
  /** Waits for the responses to requests in flight, and starts no further requests. */
  pause(): Promise<void>;
  resume(): void;
}

/** The templates of new instances, in proportion to their frequency. */
const TEMPLATES = ['plain', 'plain', 'plain', 'stubborn', 'stubborn', 'pooled', 'pooled', 'few'];

/** Number of live instances that the clients aim at; suits a machine with two cores. */
const LIVE = 6;
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
    const template = TEMPLATES[random(TEMPLATES.length)] ?? 'plain';
    await create(ports, template, template === 'few' ? 1 : timeoutOf(random));
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
