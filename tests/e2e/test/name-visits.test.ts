import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { demoTemplate, waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';

// A visit to a stable name whose instance has ended starts it again, where the template says so. Two
// replicas serve the names by path, a third one by host.

const DOMAIN = 'visits.test';
const READY = { prefer: 'wait=60' };

let site: Deployment;
beforeAll(async () => {
  const times = { timeout: '10m', maxTimeout: '20m' };
  site = await deploy({
    proxies: 2,
    templates: `
default: sleeper
limits: { perToken: 4 }
templates:
  sleeper: ${demoTemplate({ ...times, onVisit: 'start', envAllow: ['APP_*'] })}
  page: ${demoTemplate(times)}
  crashing: ${demoTemplate({ ...times, onVisit: 'start', command: ['/bin/false'] })}
`,
  });
  await site.startProxy({ domain: DOMAIN });
});
afterAll(() => site.stop());

interface Answer {
  readonly status: number | undefined;
  readonly body: string;
}

/** Sends a request for a name in path form, or in host form to the third replica. */
async function visit(name: string, headers: Record<string, string> = {}, replica = 0) {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const base = new URL(site.publicUrls[replica] ?? '');
  const isHost = replica === 2;
  const target = {
    host: base.hostname,
    port: base.port,
    path: isHost ? '/id' : `/demo/@${name}/id`,
    headers: { ...(isHost && { host: `${name}.${DOMAIN}:${base.port}` }), ...headers },
  };
  request(target, (res) => {
    text(res).then((body) => resolve({ status: res.statusCode, body }), reject);
  })
    .on('error', reject)
    .end();
  return promise;
}

async function put(name: string, body: object = {}): Promise<string> {
  // An instance that is replaced counts until it has ended.
  const answer = await site.api('PUT', `/v1/names/${name}`, { drain: 0, ...body }, READY);
  return ((await answer.json()) as { id: string }).id;
}

async function idOf(name: string): Promise<string | undefined> {
  const found = await (await site.api('GET', `/v1/names/${name}`)).json();
  return (found as { instance?: { id: string } }).instance?.id;
}

/** Ends an instance, and waits until it is gone. */
async function end(id: string): Promise<void> {
  await site.api('DELETE', `/v1/instances/${id}`);
  await waitFor('the end', async () => {
    const found = await (await site.api('GET', `/v1/instances/${id}`)).json();
    return (found as { status: { state: string } }).status.state === 'gone';
  });
}

test('visitors who arrive together at several replicas start one instance', async () => {
  const first = await put('together', { metadata: { of: 'together' }, env: { APP_A: 'kept' } });
  const expiry = async () => {
    const name = await (await site.api('GET', '/v1/names/together')).json();
    return (name as { expiresAt: string }).expiresAt;
  };
  const expiresAt = await expiry();
  await end(first);
  const answers = await Promise.all(
    Array.from({ length: 24 }, (_, i) => visit('together', {}, i % 3)),
  );
  const ids = new Set(answers.map(({ body }) => body));
  expect(answers.map(({ status }) => status)).toEqual(Array(24).fill(200));
  expect(ids.size).toBe(1);
  expect(ids).not.toContain(first);
  const listed = await site.api('GET', '/v1/instances?metadata=of=together');
  expect(((await listed.json()) as { items: unknown[] }).items).toHaveLength(1);
  // A visit does not prolong the name.
  expect(await expiry()).toBe(expiresAt);
  await end([...ids][0] ?? '');
});

test('a browser gets the waiting page, in path form and in host form', async () => {
  const browser = {
    accept: 'text/html',
    'sec-fetch-mode': 'navigate',
    'sec-fetch-dest': 'document',
  };
  for (const replica of [0, 2]) {
    await end(await put('page', { template: 'sleeper' }));
    const { status, body } = await visit('page', browser, replica);
    expect(status).toBe(200);
    expect(body).toContain('<html');
    await waitFor('the instance', async () => (await visit('page', {}, replica)).status === 200);
  }
  await end((await idOf('page')) ?? '');
});

test('what nobody asked for starts nothing', async () => {
  await end(await put('quiet'));
  const prefetch = { 'sec-purpose': 'prefetch' };
  const image = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' };
  // In path form, another instance's page has the same origin.
  const neighbour = { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' };
  for (const headers of [prefetch, image, neighbour]) {
    expect((await visit('quiet', headers)).status).toBe(410);
  }
  expect((await visit('quiet', neighbour, 2)).status).toBe(200);
  await end((await idOf('quiet')) ?? '');
});

test('a template without onVisit: start answers 410', async () => {
  await end(await put('gone', { template: 'page' }));
  expect((await visit('gone')).status).toBe(410);
  // The last PUT decides.
  await end(await put('gone', { template: 'sleeper' }));
  expect((await visit('gone')).status).toBe(200);
  await end((await idOf('gone')) ?? '');
});

test('the quota of the owner holds, and a visit after it starts the name', async () => {
  await end(await put('full'));
  const others = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const made = await site.api('POST', '/v1/instances', { template: 'page' }, READY);
      return ((await made.json()) as { id: string }).id;
    }),
  );
  const refused = await visit('full');
  expect([refused.status, refused.body]).toEqual([429, expect.stringContaining('"token"')]);
  await Promise.all(others.map(end));
  // A replica remembers a refusal for a second.
  await waitFor('a start', async () => (await visit('full')).status === 200);
  await end((await idOf('full')) ?? '');
});

test('after five crashes in a row visits start nothing until the next PUT', async () => {
  const ids = new Set<string>();
  const collect = async (): Promise<void> => {
    const id = await idOf('crash');
    if (id !== undefined) ids.add(id);
  };
  await site.api('PUT', '/v1/names/crash', { template: 'crashing' }, READY);
  await collect();
  let last: Answer | undefined;
  await waitFor(
    'the refusal',
    async () => {
      last = await visit('crash');
      await collect();
      return last.body.includes('crashed several times');
    },
    60_000,
  );
  expect(last?.status).toBe(410);
  expect(ids.size).toBe(5);
  await put('crash', { template: 'sleeper' });
  expect((await visit('crash')).status).toBe(200);
});
