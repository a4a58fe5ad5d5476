import { randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectRedis, keysOf, redisHosts } from '@ephemera/store';
import {
  SETTLED_DATASET,
  type SentinelOptions,
  type StartedSentinel,
  deploy,
  startSentinel,
  waitFor,
} from '@ephemera/test-support';
import { expect } from 'vitest';
import type { Deployment } from './deployment.ts';

// Proxies over Redis with Sentinel, under load while the master changes. No container runs: servers of
// the test stand for instances, and creations wait for a worker that does not exist.

const REPLICAS = [0, 1];
const IDS = ['b', 'c'].map((letter) => letter.padStart(26, 'a'));
const HOST = 'test-host';
const ADDRESS = '127.0.1.1';

const TEMPLATES = `
limits: { ratePerToken: 60000/1m }
templates:
  demo: { image: ephemera/demo, port: 8080, ready: { within: 10m } }
`;

export interface SentinelSite extends Deployment {
  readonly set: StartedSentinel;
  /** Ids of ready instances, which both replicas have served. */
  readonly ids: readonly string[];
}

/** Two proxies and two ready instances. */
export async function deployOnSentinel(options?: SentinelOptions): Promise<SentinelSite> {
  const set = await startSentinel(options);
  const cleanUps: (() => unknown)[] = [() => set.stop()];
  const stop = async () => {
    for (const cleanUp of cleanUps.toReversed()) await cleanUp();
  };
  try {
    const namespace = `sentinel-${randomBytes(4).toString('hex')}`;
    const keys = keysOf(namespace);
    const redis = connectRedis({ url: set.url }, 'job', () => undefined);
    cleanUps.push(() => redis.disconnect());
    await redis.set(keys.dataset, SETTLED_DATASET);
    const registration = { boot: HOST, network: HOST, networks: ['127.0.0.0/8'] };
    await redis.set(keys.registration(HOST), JSON.stringify(registration));
    // A replica is ready only if a host is alive.
    const hosts = redisHosts(redis, keys);
    const heartbeat = () => hosts.heartbeat(HOST, Date.now()).catch(() => undefined);
    await heartbeat();
    const heartbeats = setInterval(() => void heartbeat(), 2_000);
    cleanUps.push(() => clearInterval(heartbeats));

    for (const [generation, id] of IDS.entries()) {
      const server = createServer((_req, res) => res.end(id));
      await new Promise<void>((resolve) => server.listen(0, ADDRESS, resolve));
      cleanUps.push(() => {
        server.close();
        server.closeAllConnections();
      });
      const { port } = server.address() as AddressInfo;
      const route = {
        ...{ state: 'ready', generation: generation + 1, host: HOST, address: ADDRESS, port },
        ...{ ports: { main: port }, expiresAt: Date.now() + 3_600_000 },
        ...{ stripPrefix: true, hostHeader: 'pass' },
      };
      await redis.set(keys.route(id), JSON.stringify(route));
    }

    const env = { EPHEMERA_REDIS_URL: set.url, EPHEMERA_NAMESPACE: namespace };
    const site = await deploy({ proxies: 2, workers: 0, templates: TEMPLATES, env });
    cleanUps.push(() => site.stop());
    const fixture = { ...site, set, ids: IDS, stop };
    for (const replica of REPLICAS) {
      for (const id of IDS) expect(await visit(fixture, replica, id)).toBe(`200 ${id}`);
    }
    return fixture;
  } catch (error) {
    await stop();
    throw error;
  }
}

/** One request to an instance, which answers with its id: `200 <id>`, or the failure. */
async function visit(site: SentinelSite, replica: number, id: string): Promise<string> {
  const answer = await fetch(`${site.publicUrls[replica]}/demo/${id}/id`);
  return `${answer.status} ${(await answer.text()).trim()}`;
}

/** What clients saw while the master changed. */
export interface FailoverReport {
  /** Requests to known instances, and those that were not answered by their own instance. */
  readonly visits: number;
  readonly failedVisits: readonly string[];
  readonly misroutes: readonly string[];
  /** Ids of the creations that were acknowledged. */
  readonly acknowledged: ReadonlySet<string>;
  /** Answers to creations that were not acknowledged, with their number. */
  readonly refusals: Readonly<Record<string, number>>;
  /** The longest time that a replica was not ready, ms. */
  readonly notReadyMs: number;
}

/**
 * Visits the instances and creates others through both replicas, while `disturb` runs and until
 * creations are acknowledged again by the new master.
 * @param disturb makes the sentinels elect another master, and resolves when they have
 */
export async function loadDuring(
  site: SentinelSite,
  disturb: () => Promise<void>,
): Promise<FailoverReport> {
  const over = new AbortController();
  const isRunning = () => !over.signal.aborted;
  const report = { visits: 0, failedVisits: [] as string[], misroutes: [] as string[] };
  const acknowledged = new Set<string>();
  const refusals: Record<string, number> = {};
  let notReadyMs = 0;
  let lastAcknowledgedAt = 0;

  const visitAll = async (replica: number) => {
    while (isRunning()) {
      for (const id of site.ids) {
        const answer = await visit(site, replica, id).catch(String);
        report.visits++;
        if (answer === `200 ${id}`) continue;
        (answer.startsWith('200') ? report.misroutes : report.failedVisits).push(answer);
      }
      await sleep(10);
    }
  };
  /** Repeats each creation under its key until it is acknowledged. */
  const createAll = async (replica: number) => {
    while (isRunning()) {
      const key = randomUUID();
      const headers = { 'idempotency-key': key };
      while (isRunning()) {
        const answer = await site
          .api('POST', '/v1/instances', {}, headers, replica)
          .catch(() => undefined);
        if (answer?.ok) {
          acknowledged.add(((await answer.json()) as { id: string }).id);
          lastAcknowledgedAt = performance.now();
          break;
        }
        const kind = `${answer?.status ?? 'no answer'}, ${answer?.headers.has('retry-after') ? 'with' : 'without'} Retry-After`;
        refusals[kind] = (refusals[kind] ?? 0) + 1;
        await sleep(100);
      }
      await sleep(5);
    }
  };
  const watchReadiness = async (replica: number) => {
    let since: number | undefined;
    while (isRunning()) {
      const answer = await fetch(`${site.adminUrls[replica]}/readyz`).catch(() => undefined);
      const now = performance.now();
      since = answer?.ok === true ? undefined : (since ?? now);
      if (since !== undefined) notReadyMs = Math.max(notReadyMs, now - since);
      await sleep(50);
    }
  };

  const load = REPLICAS.flatMap((replica) => [
    visitAll(replica),
    createAll(replica),
    watchReadiness(replica),
  ]);
  try {
    await waitFor('creations', () => acknowledged.size > 50);
    await disturb();
    const electedAt = performance.now();
    await waitFor('creations after the failover', () => lastAcknowledgedAt > electedAt + 1_000);
    await waitFor('both replicas to be ready', async () => {
      const answers = await Promise.all(site.adminUrls.map((url) => fetch(`${url}/readyz`)));
      return answers.every(({ ok }) => ok);
    });
  } finally {
    over.abort();
    await Promise.all(load);
  }
  return { ...report, acknowledged, refusals, notReadyMs };
}

/** The acknowledged creations that the deployment does not know. */
async function lostOf(site: SentinelSite, acknowledged: ReadonlySet<string>): Promise<string[]> {
  const lost: string[] = [];
  for (const id of acknowledged) {
    const { status } = await site.api('GET', `/v1/instances/${id}`);
    if (status !== 200) lost.push(`${id}: ${status}`);
  }
  return lost;
}

/** Asserts what every change of the master must keep. */
export async function expectNothingLost(
  site: SentinelSite,
  name: string,
  report: FailoverReport,
): Promise<void> {
  const { visits, failedVisits, misroutes, acknowledged, refusals, notReadyMs } = report;
  const lost = await lostOf(site, acknowledged);
  process.stdout.write(
    `${name}: ${visits} visits, ${failedVisits.length} failed, ${misroutes.length} misrouted; ` +
      `${acknowledged.size} creations acknowledged, ${lost.length} lost, refusals ${JSON.stringify(refusals)}; ` +
      `not ready for ${Math.round(notReadyMs)} ms\n`,
  );
  expect(failedVisits).toEqual([]);
  expect(misroutes).toEqual([]);
  expect(lost).toEqual([]);
  expect(Object.keys(refusals).filter((kind) => kind !== '503, with Retry-After')).toEqual([]);
  expect(notReadyMs).toBeLessThan(8_000);
}

/** Waits until the sentinels name another master than `before`. */
export async function elected(set: StartedSentinel, before: number): Promise<void> {
  await waitFor('another master', async () => (await set.master()).port !== before);
}
