import { readFileSync } from 'node:fs';
import { hashToken } from '@ephemera/http';
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
const MAKER = 'a-token-of-scope-create';
/** The longest landing path. */
const PATH = `/${'p'.repeat(2_047)}`;
const METADATA = { owner: 'x'.repeat(1_000), course: 'y'.repeat(1_000) };

let ports: OpenPorts;
beforeAll(async () => {
  ports = await openPorts(
    'default: demo\ntemplates: { demo: { image: ephemera/demo, port: 8080, maxTimeout: 24h } }',
    { entries: { maker: { hash: [hashToken(MAKER)], scopes: ['create'] } } },
  );
});
afterAll(async () => {
  await ports.stop();
  expect(ports.bugs).toEqual([]);
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

/** Ends an instance as its worker does, with the longest message, so that its tombstone is left. */
async function end(id: string): Promise<void> {
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
    await end(id);
  }
  const each = ((await stored()) - before) / STARTS;
  process.stdout.write(
    `a start of a token: ${Math.ceil(each)} bytes with its jobs and the events of ${RENEWALS} renewals\n`,
  );
  // Its tombstone, events, jobs, idempotency key and capacity.
  expect(each).toBeLessThan(boundOf('one start of a token') + RENEWALS * MAX_EVENT);
});

test('what one start of a visitor stores is bounded', async () => {
  await ports.clear();
  const before = await stored();
  for (let i = 0; i < STARTS; i++) {
    const url = `${ports.publicUrl}/demo/new?redirect=0&path=${encodeURIComponent(PATH)}`;
    const made = await fetch(url, { method: 'POST' });
    expect(made.status).toBe(200);
    const id = await made.text();
    await becomeReady(id);
    await end(id);
  }
  const each = ((await stored()) - before) / STARTS;
  process.stdout.write(`a start of a visitor: ${Math.ceil(each)} bytes with its jobs and events\n`);
  expect(each).toBeLessThan(boundOf('one start of a visitor'));
});
