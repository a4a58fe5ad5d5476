import type { ApiError } from '@ephemera/domain';
import { newId } from '@ephemera/domain';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { sampleDraft, startRedis, waitFor } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { connectRedis, connectTracking } from './connect-redis.ts';
import { DatasetWatch, redisDatasets } from './datasets.ts';
import type { DatasetReports } from './datasets.ts';
import { redisHosts } from './hosts.ts';
import { keysOf } from './keys.ts';
import { DATASET_REPORT_TIMEOUT_MS, DATASET_SETTLE_MS, HOST_ALIVE_TIMEOUT_MS } from './limits.ts';
import { redisInstances } from './redis-instances.ts';
import { RouteCache } from './route-cache.ts';

const keys = keysOf('datasets');
const UNKNOWN = 'a'.repeat(26);
/** Longer than one check of the hosts serves further requests, ms. */
const CHECK_MS = 150;

/** @param lease of the routes in memory, ms */
async function open(lease = 5_000) {
  const server = await startRedis();
  const writer = new Redis(server.url);
  const redis = connectRedis(server.url, 'request', () => undefined);
  await waitFor('a connection', () => redis.status === 'ready');
  const routes = new RouteCache({
    redis,
    trackingRedis: () => connectTracking(server.url, () => undefined),
    keys,
    lease,
  });
  await routes.start();
  onTestFinished(async () => {
    await routes.stop();
    redis.disconnect();
    writer.disconnect();
    await server.stop();
  });
  const hosts = redisHosts(writer, keys);
  const instances = redisInstances(writer, keys);
  const datasets = redisDatasets(writer, keys);
  const heartbeat = async (host: string) => hosts.heartbeat(host, await instances.now());
  /** What a client gets for an id. */
  const answer = async (id: string): Promise<string> => {
    try {
      return (await routes.find(id))?.route.state ?? 'unknown';
    } catch (error) {
      return (error as ApiError).failure.kind;
    }
  };
  /** Makes the data set older, instead of waiting. */
  const age = async (ms: number) => {
    const older = String(Number(await writer.get(keys.dataset)) - ms);
    await writer.set(keys.dataset, older);
    return older;
  };
  return { writer, routes, instances, datasets, heartbeat, answer, age };
}

describe('an unknown id', () => {
  // A machine has restarted with its Redis, which kept nothing on disk, a proxy and a worker. No
  // process there knows of the loss. A second host still runs instances.
  test('may be an instance of a host that has not noticed the loss', async () => {
    const { datasets, heartbeat, answer, age } = await open();
    expect(await answer(UNKNOWN)).toBe('rebuilding');
    await heartbeat('a');
    const dataset = await datasets.current();
    expect(await datasets.report('a', dataset)).toBe(dataset);
    await sleep(CHECK_MS);
    expect(await answer(UNKNOWN)).toBe('rebuilding');
    await heartbeat('b');
    const older = await age(DATASET_SETTLE_MS);
    await sleep(CHECK_MS);
    expect(await answer(UNKNOWN)).toBe('rebuilding');
    expect(await datasets.report('b', older)).toBe(older);
    await waitFor('an answer', async () => (await answer(UNKNOWN)) === 'unknown', 1_000);
  });

  test('may be an instance while a living host has not reported', async () => {
    const { datasets, heartbeat, answer, writer, age } = await open();
    await heartbeat('a');
    await datasets.current();
    const dataset = await age(DATASET_SETTLE_MS);
    await waitFor('the data set to be known', async () => (await answer(UNKNOWN)) === 'rebuilding');
    await datasets.report('a', dataset);
    await waitFor('the report', async () => (await answer(UNKNOWN)) === 'unknown');
    // A host that joins later has nothing that Redis has lost.
    await heartbeat('b');
    expect(await answer(UNKNOWN)).toBe('unknown');
    expect(await writer.smembers(keys.reported)).toEqual(['a']);
  });

  test('needs the list of reports for as long as a report is waited for', async () => {
    const { datasets, writer } = await open();
    await datasets.report('a', await datasets.current());
    const ttl = await writer.pttl(keys.reported);
    expect(ttl).toBeGreaterThan(DATASET_REPORT_TIMEOUT_MS - 5_000);
    expect(ttl).toBeLessThanOrEqual(DATASET_REPORT_TIMEOUT_MS);
  });

  test('after a loss is unknown again when every living host has reported', async () => {
    const { writer, instances, datasets, heartbeat, answer, age } = await open();
    const { id, generation } = await instances.create(sampleDraft({ id: newId(randomBytes) }));
    await instances.assignToHost(id, generation, 'a');
    await instances.markReady(id, generation, '10.0.0.9');
    const ready = await instances.get(id);
    await heartbeat('a');
    await datasets.current();
    const before = await age(DATASET_SETTLE_MS);
    await datasets.report('a', before);
    await waitFor('the report', async () => (await answer(UNKNOWN)) === 'unknown');
    expect(await answer(id)).toBe('ready');

    await writer.flushall();
    expect(await answer(UNKNOWN)).toBe('rebuilding');
    // A route in memory is used until Redis has reported the change.
    await waitFor('the change', async () => (await answer(id)) === 'rebuilding');
    const after = await datasets.current();
    expect(await datasets.report('a', before)).toBe(after);
    expect(await writer.smembers(keys.reported)).toEqual([]);
    for (const host of ['a', 'b']) await heartbeat(host);
    if (ready) await instances.restore(ready);
    expect(await answer(id)).toBe('ready');
    expect(await answer(UNKNOWN)).toBe('rebuilding');
    await datasets.report('a', after);
    const older = await age(DATASET_SETTLE_MS);
    await sleep(CHECK_MS);
    expect(await answer(UNKNOWN)).toBe('rebuilding');
    await datasets.report('b', older);
    await waitFor('all reports', async () => (await answer(UNKNOWN)) === 'unknown');
  });

  test('waits 30 s for a report at most', async () => {
    const { writer, datasets, heartbeat, answer, age } = await open();
    await heartbeat('a');
    await datasets.current();
    await waitFor('the data set to be known', async () => (await answer(UNKNOWN)) === 'rebuilding');
    await writer.flushall();
    await heartbeat('a');
    await datasets.current();
    expect(await answer(UNKNOWN)).toBe('rebuilding');
    await age(DATASET_REPORT_TIMEOUT_MS);
    await waitFor('the limit', async () => (await answer(UNKNOWN)) === 'unknown');
  });

  test('does not end the connections of an instance that is being restored', async () => {
    const lease = 1_500;
    const { writer, instances, datasets, heartbeat, answer, routes } = await open(lease);
    const drops: string[] = [];
    routes.onDrop((id) => drops.push(id));
    await heartbeat('a');
    await datasets.report('a', await datasets.current());
    const { id, generation } = await instances.create(sampleDraft({ id: newId(randomBytes) }));
    await instances.assignToHost(id, generation, 'a');
    await instances.markReady(id, generation, '10.0.0.9');
    const ready = await instances.get(id);
    await waitFor('the route', async () => (await answer(id)) === 'ready');
    await writer.flushall();
    await waitFor('the change', async () => (await answer(id)) === 'rebuilding');
    // The host needs longer than a lease.
    await sleep(lease + 500);
    expect(await answer(id)).toBe('rebuilding');
    if (ready) await instances.restore(ready);
    await waitFor('the route again', async () => (await answer(id)) === 'ready');
    await sleep(2_000);
    expect(drops).toEqual([]);
  });

  test.each(['no host restores', 'expires meanwhile'])(
    'ends the connections of an instance that %s',
    async (outcome) => {
      const expires = outcome === 'expires meanwhile';
      const { writer, instances, datasets, heartbeat, answer, age, routes } = await open();
      const drops: string[] = [];
      routes.onDrop((id) => drops.push(id));
      await heartbeat('a');
      await datasets.report('a', await datasets.current());
      const draft = sampleDraft({ id: newId(randomBytes), ...(expires && { timeout: 3_000 }) });
      const { id, generation } = await instances.create(draft);
      await instances.assignToHost(id, generation, 'a');
      await instances.markReady(id, generation, '10.0.0.9');
      await waitFor('the route', async () => (await answer(id)) === 'ready');
      await writer.flushall();
      await waitFor('the change', async () => (await answer(id)) === 'rebuilding');
      await datasets.current();
      if (!expires) await age(DATASET_REPORT_TIMEOUT_MS);
      await waitFor('the end', () => drops.length > 0, 20_000);
      expect([drops, await answer(id)]).toEqual([[id], expires ? 'rebuilding' : 'unknown']);
    },
  );
});

describe('the decision', () => {
  const NOW = 1_000_000_000;
  const reports = (more: Partial<DatasetReports>): DatasetReports => ({
    now: NOW,
    dataset: null,
    seenAt: new Map(),
    reported: new Set(),
    ...more,
  });
  function watch(initial: DatasetReports | undefined) {
    const state = { clock: 0, reads: 0, reports: initial };
    const watched = new DatasetWatch(
      () => {
        state.reads++;
        return Promise.resolve(state.reports);
      },
      () => state.clock,
    );
    const isUnknown = (dataset: string | null) => {
      state.clock += 1_000;
      return watched.confirmsAbsence(dataset).catch(() => undefined);
    };
    return { state, watched, isUnknown };
  }

  test('without any worker, a loss ends after 30 s', async () => {
    const { state, watched, isUnknown } = watch(reports({}));
    watched.note(String(NOW));
    watched.note(null);
    expect(await isUnknown(null)).toBeUndefined();
    state.clock += DATASET_REPORT_TIMEOUT_MS - 3_000;
    expect(await isUnknown(null)).toBeUndefined();
    expect(await isUnknown(null)).toBe(true);
  });

  test('beside an empty Redis, hosts get the time to register', async () => {
    const { state, isUnknown } = watch(reports({}));
    expect(await isUnknown(null)).toBeUndefined();
    state.clock += DATASET_SETTLE_MS - 2_000;
    expect(await isUnknown(null)).toBeUndefined();
    expect(await isUnknown(null)).toBe(true);
  });

  test('in a new data set, hosts get the time to register', async () => {
    const dataset = String(NOW - DATASET_SETTLE_MS + 1);
    const seenAt = new Map([['a', NOW]]);
    const { state, isUnknown } = watch(reports({ dataset, seenAt, reported: new Set('a') }));
    expect(await isUnknown(dataset)).toBeUndefined();
    state.reports = reports({ ...state.reports, now: NOW + 1 });
    // The instance may have been restored since the read that did not find it.
    expect(await isUnknown(dataset)).toBe(false);
    // Then it is known without a read of the reports.
    const { reads } = state;
    expect(await isUnknown(dataset)).toBe(true);
    expect(state.reads).toBe(reads);
  });

  test('a data set is not new where the clock of Redis has been set back since', async () => {
    const dataset = String(NOW + 3_600_000);
    const { isUnknown } = watch(reports({ dataset, seenAt: new Map([['a', NOW]]) }));
    expect(await isUnknown(dataset)).toBe(false);
  });

  test('a host without a live heartbeat is not waited for', async () => {
    const dataset = String(NOW - DATASET_SETTLE_MS);
    const seenAt = new Map([
      ['a', NOW],
      ['dead', NOW - HOST_ALIVE_TIMEOUT_MS - 1],
    ]);
    const { isUnknown } = watch(reports({ dataset, seenAt, reported: new Set('a') }));
    expect(await isUnknown(dataset)).toBe(false);
    expect(await isUnknown(dataset)).toBe(true);
  });

  test('while Redis does not answer, nothing is unknown', async () => {
    const { isUnknown } = watch(undefined);
    expect(await isUnknown(String(NOW))).toBeUndefined();
  });

  test('one read serves all requests of an interval', async () => {
    const { state, watched } = watch(
      reports({ dataset: String(NOW), seenAt: new Map([['a', NOW]]) }),
    );
    const asked = Array.from({ length: 50 }, () => watched.confirmsAbsence(String(NOW)));
    expect((await Promise.allSettled(asked)).every(({ status }) => status === 'rejected')).toBe(
      true,
    );
    expect(state.reads).toBe(1);
  });

  test('a check of one data set does not serve another', async () => {
    const dataset = String(NOW - DATASET_SETTLE_MS);
    const seenAt = new Map([['a', NOW]]);
    const { watched } = watch(reports({ dataset, seenAt, reported: new Set('a') }));
    expect(await watched.confirmsAbsence(dataset)).toBe(false);
    await expect(watched.confirmsAbsence(null)).rejects.toThrow('rebuilding');
  });
});
