import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { WARNING_KINDS } from '@ephemera/domain';
import { hashToken } from '@ephemera/http';
import { createStore, keysOf, redisInstanceWarnings } from '@ephemera/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type OpenPorts, openPorts } from './open-ports.ts';

// The bytes of Redis that one start of a `create` token or of a visitor leaves after its end, with the
// largest input that the HTTP interfaces accept, except `env`. docs/SECURITY.md has the bounds.

const MAX_EVENT = 512;
const SECURITY = readFileSync(new URL('../../../docs/SECURITY.md', import.meta.url), 'utf8');
/** The bound in the table of docs/SECURITY.md, bytes. */
const boundOf = (what: string) => {
  const kib = new RegExp(`^\\| ${what} .*?(\\d+) KiB`, 'm').exec(SECURITY)?.[1];
  return Number(kib) * 1_024;
};
const STARTS = 10;
const RENEWALS = 20;
const COMMANDS = 20;
/** Renewals of one instance by its visitor in a minute. */
const VISITS = 10;
const MAKER = 'a-token-of-scope-create';
/** The longest landing path. */
const PATH = `/${'p'.repeat(2_047)}`;
const METADATA = { owner: 'x'.repeat(1_000), course: 'y'.repeat(1_000) };

let ports: OpenPorts;
/** Behind a load balancer, with a rate for each client. */
let rated: OpenPorts;
beforeAll(async () => {
  rated = await openPorts(
    'default: demo\nlimits: { ratePerAddress: 5/1h }\ntemplates: { demo: { image: a, port: 80 } }',
    { trusted: ['127.0.0.0/8'] },
  );
  ports = await openPorts(
    `default: demo
templates:
  demo:
    image: ephemera/demo
    port: 8080
    maxTimeout: 24h
    exec: owner
    visitor: { renew: 2h, end: true }`,
    { entries: { maker: { hash: [hashToken(MAKER)], scopes: ['create'] } } },
  );
});
afterAll(async () => {
  for (const opened of [ports, rated]) {
    await opened.stop();
    expect(opened.bugs).toEqual([]);
  }
});

/** The bytes of all keys. */
async function stored(): Promise<number> {
  const keys = await ports.redis.keys('*');
  const sizes = await Promise.all(
    keys.map((key) => ports.redis.memory('USAGE', key, 'SAMPLES', 0)),
  );
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
}

const send = (method: string, path: string, body?: object, headers = {}) =>
  fetch(`${ports.adminUrl}/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${MAKER}`,
      ...(body && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body && { body: JSON.stringify(body) }),
  });

/**
 * Ends an instance as its worker does, with the longest message, so that its tombstone is left, and the
 * longest warnings, which requests of visitors can cause.
 */
async function end(id: string): Promise<void> {
  const warnings = redisInstanceWarnings(ports.redis, keysOf('ports'));
  for (const kind of WARNING_KINDS) {
    await warnings.save(id, { kind, detail: '€'.repeat(5_000), at: Date.now() });
  }
  const outcome = await ports.instances.startDraining(id, 'exited', '€'.repeat(2_000));
  if (outcome.kind !== 'draining') throw new Error(outcome.kind);
  expect(await ports.instances.finalize(id, outcome.instance.generation)).toBe(true);
}

/** Brings an instance into the state in which its worker leaves it. */
async function becomeReady(id: string): Promise<void> {
  const { generation = 0 } = (await ports.instances.get(id)) ?? {};
  await ports.instances.assignToHost(id, generation, 'host');
  await ports.instances.markReady(id, generation, '10.231.1.1');
}

test('what one start of a token stores is bounded, with its renewals and its end', async () => {
  await ports.clear();
  const before = await stored();
  for (let i = 0; i < STARTS; i++) {
    const key = { 'idempotency-key': `${i}`.padEnd(200, 'k') };
    const made = await send('POST', '/instances', { metadata: METADATA, path: PATH }, key);
    expect(made.status).toBe(202);
    const { id } = (await made.json()) as { id: string };
    await becomeReady(id);
    for (let n = 1; n <= RENEWALS; n++) {
      const renewed = await send('POST', `/instances/${id}/renew`, { timeout: 7_200 + n * 60 });
      expect(renewed.status).toBe(200);
    }
    // A worker records each command. Nothing else of it reaches Redis.
    const { generation = 0 } = (await ports.instances.get(id)) ?? {};
    const { recordUse } = createStore(ports.redis, keysOf('ports'), 3_600_000);
    for (let n = 0; n < COMMANDS; n++)
      expect(await recordUse({ id, generation }, 'exec')).toBe(true);
    await end(id);
  }
  const each = ((await stored()) - before) / STARTS;
  process.stdout.write(
    `a start of a token: ${Math.ceil(each)} bytes with its jobs and the events of ${RENEWALS} renewals and ${COMMANDS} commands\n`,
  );
  // Its tombstone, events, jobs, idempotency key and capacity.
  expect(each).toBeLessThan(boundOf('one start of a token') + (RENEWALS + COMMANDS) * MAX_EVENT);
});

/** The bytes of the keys that match. */
async function storedIn(pattern: RegExp): Promise<number> {
  const keys = (await ports.redis.keys('*')).filter((key) => pattern.test(key));
  const sizes = await Promise.all(
    keys.map((key) => ports.redis.memory('USAGE', key, 'SAMPLES', 0)),
  );
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
}

test('what a stable name stores is bounded, however often its instance is replaced', async () => {
  await ports.clear();
  const names = Array.from({ length: STARTS }, (_, i) => `${'n'.repeat(38)}-${i}`);
  for (let round = 0; round < 3; round++) {
    for (const name of names) {
      const body = { metadata: METADATA, path: PATH, drain: 3_600, ttl: 365 * 86_400 };
      const key = { 'idempotency-key': `${round}${name}`.padEnd(200, 'k') };
      const made = await send('PUT', `/names/${name}`, body, key);
      expect(made.status).toBe(202);
      // The last one is still starting when its successor replaces it.
      if (round < 1) await becomeReady(((await made.json()) as { id: string }).id);
    }
  }
  const each = (await storedIn(/:(?:name|route:@|names|owner-names)/)) / STARTS;
  process.stdout.write(`a stable name: ${Math.ceil(each)} bytes\n`);
  expect(each).toBeGreaterThan(0);
  expect(each).toBeLessThan(boundOf('a stable name'));
  for (const name of names) expect((await send('DELETE', `/names/${name}`)).status).toBe(204);
  expect(await storedIn(/:(?:name|route:@|names|owner-names)/)).toBe(0);
});

test('a counter of a rate is small, and expires', async () => {
  await ports.clear();
  const from = Array.from({ length: 20 }, (_, i) => `2001:db8:${i}:ffff:ffff:ffff:ffff:ffff`);
  for (const address of from) {
    const url = `${rated.publicUrl}/demo/new?redirect=0`;
    const headers = { 'x-forwarded-for': address };
    expect((await fetch(url, { method: 'POST', headers })).status).toBe(200);
  }
  const counters = await rated.redis.keys('*:rate:*');
  expect(counters).toHaveLength(from.length);
  for (const key of counters) {
    const bytes = (await rated.redis.memory('USAGE', key)) ?? 0;
    expect(bytes).toBeLessThan(boundOf('a counter of a rate'));
    expect(await rated.redis.pttl(key)).toBeGreaterThan(0);
  }
});

/** Sends a form of the page of an instance, as a browser does. `fetch` refuses some of these fields. */
async function sendForm(id: string, what: 'renew' | 'end', cookie: string): Promise<number> {
  const req = request(`${ports.publicUrl}/demo/-/${id}/${what}`, {
    method: 'POST',
    headers: {
      ...{ accept: 'text/html', cookie },
      ...{ 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate' },
      'sec-fetch-dest': 'document',
    },
  });
  req.end();
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  res.resume();
  return res.statusCode ?? 0;
}

test('what one start of a visitor stores is bounded, with its renewals and its end', async () => {
  await ports.clear();
  const before = await stored();
  for (let i = 0; i < STARTS; i++) {
    const url = `${ports.publicUrl}/demo/new?path=${encodeURIComponent(PATH)}`;
    const made = await fetch(url, { method: 'POST', redirect: 'manual' });
    expect(made.status).toBe(303);
    const id = /[a-z][a-z0-9]{25}/.exec(made.headers.get('location') ?? '')?.[0] ?? '';
    const cookie = made.headers.get('set-cookie')?.split(';')[0] ?? '';
    await becomeReady(id);
    for (let n = 0; n < VISITS; n++) expect(await sendForm(id, 'renew', cookie)).toBe(303);
    for (const what of ['renew', 'end'] as const) {
      expect([what, await sendForm(id, what, cookie)]).toEqual([what, 429]);
    }
    await end(id);
  }
  const each = ((await stored()) - before) / STARTS;
  process.stdout.write(
    `a start of a visitor: ${Math.ceil(each)} bytes with its jobs and events, after ${VISITS} renewals\n`,
  );
  expect(each).toBeLessThan(boundOf('one start of a visitor') + VISITS * MAX_EVENT);
});
