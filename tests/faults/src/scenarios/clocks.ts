import { setTimeout as sleep } from 'node:timers/promises';
import type { InstanceEvent } from '@ephemera/domain';
import { FIRST, connectRedis, keysOf, readEvents } from '@ephemera/store';
import {
  demoTemplate,
  type App,
  type Deployment,
  deploy,
  print,
  waitFor,
} from '@ephemera/test-support';
import type { Redis } from 'ioredis';
import { type FakedClock, fakeClock } from '../faked-clock.ts';

const HOUR = 3_600;
const FIELDS = {
  ...{ timeout: '25s', maxTimeout: '20m' },
  ready: { http: '/id', within: '4m' },
  limits: { memory: '32m', pids: 32 },
};
const TEMPLATES = `
default: demo
templates:
  demo: ${demoTemplate(FIELDS)}
  pooled: ${demoTemplate({ ...FIELDS, pool: 1, poolMaxAge: '10m' })}
`;

interface Skews {
  /** Offset in seconds from the clock of this machine, which Redis uses. */
  readonly worker: number;
  readonly proxy: number;
  /** Offset that the clock of the worker gets after all instances are ready. */
  readonly workerThen?: number;
}

const CASES: Readonly<Record<string, Skews>> = {
  'a worker an hour ahead': { worker: HOUR, proxy: 0 },
  'a worker an hour behind': { worker: -HOUR, proxy: 0 },
  'a proxy an hour ahead': { worker: 0, proxy: HOUR },
  'a proxy an hour behind': { worker: 0, proxy: -HOUR },
  'a proxy an hour ahead, a worker an hour behind': { worker: -HOUR, proxy: HOUR },
  'a worker whose clock is set back by an hour': { worker: 0, proxy: 0, workerThen: -HOUR },
  'a worker whose clock is set forward by an hour': { worker: 0, proxy: 0, workerThen: HOUR },
};

/**
 * A job of a worker whose clock is set back is late by as much. Reconciliation, every ten seconds,
 * then ends the instance. In all other cases the job ends it. Milliseconds.
 */
const maxLateness = ({ worker, workerThen = worker }: Skews): number =>
  workerThen < worker || worker < 0 ? 11_500 : 1_500;

/** Deadlines with wrong clocks: kills must be on time, and each wrong clock must be logged once. */
export async function clocks(): Promise<boolean> {
  let held = true;
  for (const [name, skews] of Object.entries(CASES)) {
    const faults = await tryClocks(skews, name);
    for (const fault of faults) print(`BROKEN ${name}: ${fault}`);
    held &&= faults.length === 0;
  }
  return held;
}

async function tryClocks(skews: Skews, name: string): Promise<string[]> {
  const [workerClock, proxyClock] = [await fakeClock(skews.worker), await fakeClock(skews.proxy)];
  const site = await deploy({ templates: TEMPLATES, workers: 0, proxies: 0 });
  const redis = connectRedis(site.redis.url, 'job', () => undefined);
  try {
    const worker = await site.startWorker({ env: workerClock.env });
    const proxy = await site.startProxy({ env: proxyClock.env });
    const ids = [await ready(site, 'demo'), await ready(site, 'demo'), await ready(site, 'pooled')];
    await setBack(skews, workerClock, worker);
    const url = site.publicUrls[0] ?? '';
    const refusals = await Promise.all(ids.map((id) => refusedAt(url, id)));
    const events = await untilGone(site, redis, ids);
    const late = ids.map((id) => lateness(events, id));
    const access = ids.map((id, i) => (refusals[i] ?? 0) - deadlineOf(events, id));
    print(
      `${name}: kills started ${late.join(', ')} ms late, access refused ${access.join(', ')} ms late`,
    );
    return [
      ...late.filter((ms) => ms < 0).map((ms) => `a kill ${-ms} ms before its deadline`),
      ...late.filter((ms) => ms > maxLateness(skews)).map((ms) => `a kill ${ms} ms late`),
      ...access.filter((ms) => ms < -5).map((ms) => `refused ${-ms} ms before its deadline`),
      ...logIssues('worker', worker, skews.worker, skews.workerThen),
      ...logIssues('proxy', proxy, skews.proxy),
    ];
  } finally {
    redis.disconnect();
    await site.stop();
    await workerClock.remove();
    await proxyClock.remove();
  }
}

/** Sets the clock of the worker, and waits until the worker has logged the difference. */
async function setBack({ workerThen }: Skews, clock: FakedClock, worker: App): Promise<void> {
  if (workerThen === undefined) return;
  await clock.set(workerThen);
  const isLogged = () => worker.log().includes(SKEWED);
  await waitFor('the log entry about the clock', isLogged);
}

const SKEWED = 'the local clock differs from the Redis clock';

function logIssues(what: string, { log }: App, skew: number, then = 0): string[] {
  const times = log().split(SKEWED).length - 1;
  const wanted = skew !== 0 || then !== 0 ? 1 : 0;
  return times === wanted ? [] : [`the ${what}'s clock difference was logged ${times} times`];
}

async function ready(site: Deployment, template: string): Promise<string> {
  const headers = { prefer: 'wait=60' };
  const made = await site.api('POST', '/v1/instances', { template }, headers);
  const { id } = (await made.json()) as { id: string };
  await waitFor(
    'a ready instance',
    async () => {
      const answer = await site.api('GET', `/v1/instances/${id}`);
      return ((await answer.json()) as { status: { state: string } }).status.state === 'ready';
    },
    240_000,
  );
  return id;
}

async function refusedAt(url: string, id: string): Promise<number> {
  for (;;) {
    const { status } = await fetch(`${url}/demo/${id}/id`);
    if (status === 410) return Date.now();
    await sleep(10);
  }
}

function untilGone(site: Deployment, redis: Redis, ids: readonly string[]) {
  return waitFor(
    'the end of all instances',
    async () => {
      const { events } = await readEvents(redis, keysOf(site.namespace), FIRST, 10_000);
      const gone = events.filter(({ type, id }) => type === 'gone' && ids.includes(id));
      return gone.length === ids.length && events;
    },
    120_000,
  );
}

const draining = (events: readonly InstanceEvent[], id: string) =>
  events.find((event) => event.type === 'draining' && event.id === id);

function lateness(events: readonly InstanceEvent[], id: string): number {
  const event = draining(events, id);
  return event ? event.time - event.expiresAt : NaN;
}

function deadlineOf(events: readonly InstanceEvent[], id: string): number {
  return draining(events, id)?.expiresAt ?? NaN;
}
