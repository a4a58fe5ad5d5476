import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { hashToken } from '@ephemera/http';
import { demoTemplate, waitFor } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { containersOf } from './docker-cli.ts';

// How much of Redis a `create` token and an anonymous visitor hold after they have used every write
// that they have until the limits refuse more, with the largest inputs. docs/SECURITY.md has the bounds.

const KIB = 1_024;
const MAKER = 'eph_maker-0123456789';
/** Starts of one client in the hour of the test. */
const STARTS = 12;
/** Renewals, pauses, resumes, commands and their kills of the token in that hour. */
const CHANGES = 60;
/** Renewals of one instance by its visitor in a minute. */
const RENEWALS = 10;
const LIVE = 3;
const METADATA = { owner: 'x'.repeat(1_000), course: 'y'.repeat(1_000) };
/** The longest landing path. */
const PATH = `/${'p'.repeat(2_047)}`;
/** Nearly as much as a request may have. */
const ENV = Object.fromEntries(
  Array.from({ length: 7 }, (_, i) => [`APP_${i}`, 'e'.repeat(32 * KIB)]),
);

const SECURITY = readFileSync(new URL('../../../docs/SECURITY.md', import.meta.url), 'utf8');
/** The bound in the table of docs/SECURITY.md, bytes. */
function boundOf(what: string): number {
  const kib = new RegExp(`^\\| ${what} .*?(\\d+) KiB`, 'm').exec(SECURITY)?.[1];
  if (kib === undefined) throw new Error(`docs/SECURITY.md has no bound for "${what}"`);
  return Number(kib) * KIB;
}

const TEMPLATES = `
default: demo
limits:
  perToken: ${LIVE}
  perAddress: ${LIVE}
  ratePerToken: ${STARTS}/1h
  ratePerAddress: ${STARTS}/1h
  changesPerToken: ${CHANGES}/1h
tokens:
  maker: { hash: '${hashToken(MAKER)}', scopes: [create, exec] }
templates:
  demo: ${demoTemplate({
    ...{ maxTimeout: '24h', envAllow: ['APP_*'] },
    ...{ exec: 'owner', visitor: { renew: '2h', end: true } },
  })}
  failing: ${demoTemplate({
    // The longest log and message: the message of a failed start contains the end of its log.
    command: [
      '/bin/sh',
      '-c',
      `i=0; while [ $i -lt 500 ]; do echo ${'€'.repeat(100)}; i=$((i+1)); done; exit 1`,
    ],
    ready: { tcp: true, within: '10s' },
  })}
`;

let site: Deployment;
let redis: Redis;
let before = 0;
beforeAll(async () => {
  site = await deploy({
    templates: TEMPLATES,
    env: {
      EPHEMERA_SIGNING_KEYS: 'k'.repeat(32),
      // The visitors of the links have an address of their own.
      EPHEMERA_TRUSTED_PROXIES: '127.0.0.0/8',
    },
  });
  redis = new Redis(site.redis.url);
  before = await stored();
});
afterAll(async () => {
  redis.disconnect();
  await site.stop();
});

/** The bytes of all keys. */
async function stored(): Promise<number> {
  const keys = await redis.keys('*');
  const sizes = await Promise.all(keys.map((key) => redis.memory('USAGE', key, 'SAMPLES', 0)));
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
}

/** Instances of earlier tests. */
const earlier = new Set<string>();
/** The most bytes of the keys that name one instance of this test. */
async function largestStart(): Promise<number> {
  const sums = new Map<string, number>();
  for (const key of await redis.keys('*')) {
    const [id] = /\ba[a-z0-9]{25}\b/.exec(key) ?? [];
    if (id === undefined || earlier.has(id)) continue;
    const size = await redis.memory('USAGE', key, 'SAMPLES', 0);
    sums.set(id, (sums.get(id) ?? 0) + (size ?? 0));
  }
  for (const id of sums.keys()) earlier.add(id);
  return Math.max(...sums.values());
}

const as = (token: string, method: string, path: string, body?: unknown, headers = {}) =>
  site.api(method, path, body, { authorization: `Bearer ${token}`, ...headers });

/** Ends all instances, and waits until only tombstones are left. */
async function endAll(): Promise<void> {
  expect((await site.api('DELETE', '/v1/instances')).status).toBe(202);
  await waitFor('no container', async () => (await containersOf(site.namespace)).length === 0);
  await waitFor('no live instance', async () => {
    const { instances } = (await (await site.api('GET', '/v1/stats')).json()) as {
      instances: number;
    };
    return instances === 0;
  });
}

/** Sends a form of the page of an instance, as a browser does. `fetch` refuses some of these fields. */
async function sendForm(url: string, cookie: string): Promise<number | undefined> {
  const req = request(url, {
    method: 'POST',
    headers: {
      ...{ accept: 'text/html', cookie: cookie.split(';')[0] },
      ...{ 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate' },
      'sec-fetch-dest': 'document',
    },
  });
  req.end();
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  res.resume();
  return res.statusCode;
}

interface Writes {
  /** Starts that were not refused. */
  starts: number;
  changes: number;
  /** The most bytes while instances lived. */
  peak: number;
}

/** Starts instances until the rate refuses more. `start` resolves to the status of the n-th one. */
async function startAll(start: (n: number) => Promise<number>, writes: Writes): Promise<void> {
  let refusals = 0;
  for (let n = 0; refusals < 3; n++) {
    const status = await start(n);
    if (status === 429) refusals++;
    else writes.starts++;
    if (n % LIVE !== LIVE - 1) continue;
    writes.peak = Math.max(writes.peak, (await stored()) - before);
    await endAll();
  }
}

function report(
  who: string,
  { starts, changes, peak }: Writes,
  left: number,
  largest: number,
): void {
  process.stdout.write(
    `${who}: ${starts} starts and ${changes} changes; at most ${Math.ceil(peak / KIB)} KiB with live instances, ` +
      `${Math.ceil(left / KIB)} KiB afterwards, ${Math.ceil(left / starts)} bytes per start, ${largest} at most\n`,
  );
}

test('what a token holds after every write until its limits refuse more is bounded', async () => {
  const writes: Writes = { starts: 0, changes: 0, peak: 0 };
  const links: string[] = [];
  for (let i = 0; i < 20; i++) {
    const made = await as(MAKER, 'POST', '/v1/links', { uses: 1, path: PATH });
    expect(made.status).toBe(201);
    links.push(((await made.json()) as { url: string }).url);
  }
  const change = async (id: string, action: string, body?: unknown) => {
    const { status } = await as(MAKER, 'POST', `/v1/instances/${id}/${action}`, body);
    if (status === 429) return;
    expect(status).toBe(200);
    writes.changes++;
  };
  let names = 0;
  let commands = 0;
  /** Runs a command with nearly as much input as a request may have. */
  const run = async (id: string) => {
    const body = { cmd: ['/bin/true', 'a'.repeat(90_000)], env: ENV, stdin: 's'.repeat(500_000) };
    const ran = await as(MAKER, 'POST', `/v1/instances/${id}/exec`, body, { prefer: 'wait=30' });
    if (ran.status === 429) return;
    expect(ran.status).toBe(200);
    writes.changes++;
    commands++;
  };
  const input = { metadata: METADATA, path: PATH };
  const start = async (n: number): Promise<number> => {
    if (n % 4 === 0) {
      const url = new URL(links.pop() ?? '');
      const visit = `${site.publicUrls[0]}${url.pathname}${url.search}&redirect=0`;
      const headers = { 'x-forwarded-for': `192.0.2.${n}` };
      return (await fetch(visit, { method: 'POST', headers })).status;
    }
    const headers = { 'idempotency-key': `${n}`.padEnd(200, 'k') };
    if (n % 4 === 1) {
      // A start that fails, and a client that does not wait for it.
      const body = { ...input, template: 'failing' };
      const waiting = { ...headers, prefer: 'wait=1' };
      return (await as(MAKER, 'POST', '/v1/instances', body, waiting)).status;
    }
    const body = { ...input, env: ENV };
    const waiting = { ...headers, prefer: 'wait=30' };
    const name = `${'n'.repeat(37)}-${n}`;
    const made =
      n % 4 === 2
        ? await as(MAKER, 'POST', '/v1/instances', body, waiting)
        : await as(MAKER, 'PUT', `/v1/names/${name}`, { ...body, ttl: 365 * 86_400 }, waiting);
    if (made.status === 429) return 429;
    expect(made.status).toBe(201);
    if (n % 4 === 3) names++;
    const { id } = (await made.json()) as { id: string };
    for (let i = 0; i < 4; i++) await run(id);
    for (let i = 1; i <= 12; i++) await change(id, 'renew', { timeout: 7_200 + i * 60 });
    for (const action of ['pause', 'resume']) await change(id, action);
    return made.status;
  };
  await startAll(start, writes);
  expect(writes).toMatchObject({ starts: STARTS, changes: CHANGES });
  const left = (await stored()) - before;
  const largest = await largestStart();
  report('a token', writes, left, largest);
  expect(largest).toBeLessThan(boundOf('one start of a token'));
  expect(names).toBeGreaterThan(0);
  expect(commands).toBeGreaterThan(0);
  const bound =
    STARTS * boundOf('one start of a token') + CHANGES * 512 + names * boundOf('a stable name');
  expect(left).toBeLessThan(bound);
  expect(writes.peak).toBeLessThan(bound + LIVE * (8 + 256) * KIB);
}, 300_000);

test('what a visitor holds after every write until the limits refuse more is bounded', async () => {
  before = await stored();
  const writes: Writes = { starts: 0, changes: 0, peak: 0 };
  const path = encodeURIComponent(PATH);
  let last = '';
  /** What its visitor may do with an instance: as many renewals as its rate allows, and the end. */
  const use = async (id: string, cookie: string) => {
    const own = `${site.publicUrls[0]}/demo/-/${id}`;
    await waitFor('the instance', async () => {
      const { state } = (await (await fetch(own)).json()) as { state: string };
      return state === 'ready';
    });
    for (let i = 0; i <= RENEWALS; i++) {
      const status = await sendForm(`${own}/renew`, cookie);
      if (status !== 429) expect(status).toBe(303);
      if (status === 303) writes.changes++;
    }
    expect([303, 429]).toContain(await sendForm(`${own}/end`, cookie));
  };
  const start = async (n: number): Promise<number> => {
    const template = n % 3 === 1 ? 'failing' : 'demo';
    const url = `${site.publicUrls[0]}/demo/new?template=${template}&path=${path}`;
    const made = await fetch(last && n % 3 === 2 ? `${url}&again=${last}` : url, {
      ...{ method: 'POST', redirect: 'manual' },
    });
    if (made.status !== 303) return made.status;
    last = /[a-z][a-z0-9]{25}/.exec(made.headers.get('location') ?? '')?.[0] ?? '';
    if (template === 'demo') await use(last, made.headers.get('set-cookie') ?? '');
    // A client that opens the waiting page and leaves.
    const leave = AbortSignal.timeout(200);
    await fetch(`${site.publicUrls[0]}/demo/${last}/`, { signal: leave }).catch(() => undefined);
    return made.status;
  };
  await startAll(start, writes);
  expect(writes.starts).toBe(STARTS);
  const left = (await stored()) - before;
  const largest = await largestStart();
  report('a visitor', writes, left, largest);
  expect(largest).toBeLessThan(boundOf('one start of a visitor'));
  expect(writes.changes).toBeGreaterThan(0);
  const bound = STARTS * boundOf('one start of a visitor') + writes.changes * 512;
  expect(left).toBeLessThan(bound);
  expect(writes.peak).toBeLessThan(bound + LIVE * 8 * KIB);
}, 300_000);
