import { createSigningKeys } from '@ephemera/config';
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { newId } from '@ephemera/domain';
import { createLogger, createShutdown } from '@ephemera/process';
import { keysOf } from '@ephemera/store';
import {
  SETTLED_DATASET,
  type StartedRedis,
  sampleDraft,
  startRedis,
  waitFor,
} from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Cell, cellDependencies, connectCell, portsById } from '../src/cell.ts';
import { type Fixture, registration, startFixture } from './data-plane/fixture.ts';

// One proxy serves two cells, each with its own Redis. The first character of an id selects the
// cell.

const logger = createLogger('proxy', 'fatal');
const shutdown = createShutdown(logger);
const servers: Server[] = [];
const redises: StartedRedis[] = [];
let cellA: Cell;
let cellB: Cell;
let ids: ReturnType<typeof portsById>;
let proxy: Fixture;

async function connect(letter: string): Promise<Cell> {
  const redis = await startRedis();
  redises.push(redis);
  const config = { redis: { url: redis.url }, namespace: letter };
  const limits = { redisGrace: 0, routes: 100, tombstone: 60_000 };
  const cell = await connectCell({ ...config, ...limits }, cellDependencies, {
    ...{ logger, shutdown },
    signer: createSigningKeys(() => []),
  });
  await cell.redis.set(keysOf(letter).registration(letter), registration('127.0.1.1/32'));
  await cell.redis.set(keysOf(letter).dataset, SETTLED_DATASET);
  return cell;
}

/** Starts an instance in a cell, with an HTTP server that responds with the name of the cell. */
async function start(letter: 'a' | 'b'): Promise<string> {
  const server = createServer((_req, res) => res.end(`cell ${letter}`));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.1.1', resolve));
  const { port } = server.address() as AddressInfo;
  const draft = sampleDraft({ id: newId(randomBytes, letter) });
  const template = { ...draft.template, port, ports: { main: port } };
  const { instances } = (letter === 'a' ? cellA : cellB).store;
  const { id, generation } = await instances.create({ ...draft, template });
  await instances.assignToHost(id, generation, letter);
  await instances.markReady(id, generation, '127.0.1.1');
  return id;
}

async function get(id: string): Promise<[status: number, body: string]> {
  const answer = await fetch(`http://127.0.0.1:${proxy.port}/demo/${id}/`, {
    headers: { connection: 'close' },
  });
  return [answer.status, await answer.text()];
}

beforeAll(async () => {
  cellA = await connect('a');
  cellB = await connect('b');
  ids = portsById(
    new Map([
      ['a', cellA],
      ['b', cellB],
    ]),
  );
  proxy = await startFixture({ routes: ids.routes });
});

afterAll(async () => {
  await proxy.stop();
  await shutdown.stop();
  for (const server of servers) server.close();
  for (const redis of redises) await redis.stop();
});

test('a request reaches the instance in the cell of its id', async () => {
  expect(await get(await start('a'))).toEqual([200, 'cell a']);
  expect(await get(await start('b'))).toEqual([200, 'cell b']);
});

test('a call reads and changes the cell of its id only', async () => {
  const [a, b] = [await start('a'), await start('b')];
  expect((await ids.instances.get(b))?.host).toBe('b');
  expect(await cellA.store.instances.get(b)).toBeUndefined();
  const renewed = await ids.leases.renew(b, { timeout: 30_000, shorten: true });
  expect(renewed.kind).toBe('renewed');
  await ids.leases.touch([a, b]);
  expect((await ids.instances.startDraining(b, 'request')).kind).toBe('draining');
  await ids.killRequests.enqueueNow({ id: b, generation: 2, supersedes: 1, host: 'b' });
  const hasJob = async ({ redis }: Cell) => (await redis.keys('*kill*')).length > 0;
  expect([await hasJob(cellA), await hasJob(cellB)]).toEqual([false, true]);
  expect((await get(b))[0]).toBe(410);
  expect(await get(a)).toEqual([200, 'cell a']);
});

test('a change in either cell drops its route', async () => {
  const dropped: string[] = [];
  ids.routes.onDrop((id) => dropped.push(id));
  for (const letter of ['a', 'b'] as const) {
    const id = await start(letter);
    expect(await get(id)).toEqual([200, `cell ${letter}`]);
    await ids.instances.startDraining(id, 'request');
    await waitFor('the drop', () => dropped.includes(id));
  }
});

test('an id of another letter is unknown, without a read in Redis', async () => {
  const c = newId(randomBytes, 'c');
  const lost = await start('b');
  const instance = { id: c, generation: 1, supersedes: undefined, host: 'a' };
  // Without Redis, every read fails.
  for (const redis of redises) await redis.stop();
  await waitFor('the loss of Redis', async () => (await get(lost))[0] === 503);
  expect(ids.storeOf(c)).toBeUndefined();
  expect((await get(c))[0]).toBe(404);
  expect(ids.routes.peek(c)).toBeUndefined();
  expect(await ids.routes.find(c)).toBeUndefined();
  expect(await ids.routes.confirm(c)).toBeUndefined();
  expect(await ids.routes.waitFor(c, () => false, 60_000)).toBeUndefined();
  expect(await ids.instances.get(c)).toBeUndefined();
  expect(await ids.instances.startDraining(c, 'request')).toEqual({ kind: 'absent' });
  expect(await ids.instances.finalize(c, 1)).toBe(false);
  expect(await ids.leases.renew(c, { timeout: 1_000, shorten: false })).toEqual({ kind: 'absent' });
  await ids.leases.touch([c]);
  await ids.killJobs.schedule(instance, 0);
  await ids.killJobs.cancel(instance);
  await ids.killRequests.enqueueNow(instance);
  expect(await ids.hostRpc.request('a', { op: 'stats', generation: 1, id: c })).toBeUndefined();
  expect(await ids.logArchive.read(c)).toBeUndefined();
});
