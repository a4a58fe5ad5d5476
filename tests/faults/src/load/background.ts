import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '@ephemera/test-support';
import { type ClientPorts, create, kill, renew, visit } from './clients.ts';
import type { Expectations } from './expectations.ts';

/** Creations, renewals, claims, kills and traffic that go on while faults are made. */
export interface Background {
  /** Waits until what is under way is answered, and begins nothing more. */
  pause(): Promise<void>;
  resume(): void;
}

/** The shares of the templates among the creations. */
const TEMPLATES = ['plain', 'plain', 'plain', 'stubborn', 'stubborn', 'pooled', 'pooled', 'few'];

/** The pace on a machine of two cores: how many instances live, as far as the clients know. */
const LIVE = 6;
/** How long one of which nothing more is known may live, ms: nobody asks for more meanwhile. */
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

/** Most live for seconds; some outlive a recovery, or are killed. */
function timeoutOf(random: Random): number {
  return random(6) === 0 ? 60 + random(60) : 3 + random(5);
}

/** Ids that may be alive: those whose deadline is not known yet, or not past. */
export function liveIds({ promised }: Expectations): string[] {
  const now = Date.now();
  const live = [...promised.values()].filter(
    ({ toldUntil, killAskedAt, born }) =>
      killAskedAt === undefined && (toldUntil ?? born + UNKNOWN) > now,
  );
  return live.map(({ id }) => id);
}
