import { hash } from 'node:crypto';
import { CHROMIUM, waitFor } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TOKEN, type Deployment, deploy } from './deployment.ts';

// Tests who may start an instance and who may access it.

const template = (more: string) =>
  `{ image: ephemera/demo, port: 8080, stopGrace: 0s, tmpfs: { /tmp: 8m }, limits: { memory: 32m }, ${more} }`;
let site: Deployment;
let base: string;
let browser: Browser;

beforeAll(async () => {
  site = await deploy({
    proxies: 2,
    templates: `
default: plain
limits: { ratePerAddress: 40/1h }
templates:
  plain: ${template('timeout: 60s')}
  members: ${template('create: token')}
  invited: ${template('create: link, access: token')}
  worked: ${template('proofOfWork: 12, access: owner')}
  shared: ${template('access: token')}
  own: ${template('access: owner, pool: 1')}
`,
    env: {
      EPHEMERA_SIGNING_KEYS: 'e2e-0123456789abcdef0123456789abcdef',
      // Both proxies share one pool because visitors reach them at one public address.
      EPHEMERA_PUBLIC_URL: 'http://demos.example',
    },
  });
  base = site.publicUrls[0] ?? '';
  browser = await chromium.launch(CHROMIUM);
});
afterAll(async () => {
  await browser.close();
  await site.stop();
});

/** All tokens that were issued. None may appear in a log. */
const issued = new Set<string>();

const start = (query: string, init: RequestInit = {}, at = base) =>
  fetch(`${at}/demo/new?${query}`, { redirect: 'manual', ...init });
const enter = (id: string, headers: Record<string, string> = {}, below = 'id') =>
  fetch(`${base}/demo/${id}/${below}`, { headers, redirect: 'manual' });
const bearer = { authorization: `Bearer ${TOKEN}` };

async function makeLink(body: object) {
  const made = await site.api('POST', '/v1/links', body);
  expect(made.status).toBe(201);
  const link = (await made.json()) as { url: string; uses: number };
  issued.add(new URL(link.url).searchParams.get('link') ?? '');
  return link;
}
const queryOf = (link: { url: string }) => new URL(link.url).search.slice(1);

test('only a token with the scope create can start a template with create: token', async () => {
  for (const method of ['GET', 'POST']) {
    expect((await start('template=members', { method })).status).toBe(401);
    const wrong = { authorization: 'Bearer eph_wrong' };
    expect((await start('template=members', { method, headers: wrong })).status).toBe(401);
  }
  const made = await start('template=members&redirect=0', { headers: bearer });
  expect(made.status).toBe(200);
  const seen = await site.api('GET', `/v1/instances/${await made.text()}`);
  expect(seen.status).toBe(200);
});

test('a link starts its number of instances on any replica, and an altered link starts none', async () => {
  expect((await start('template=invited')).status).toBe(403);
  const link = await makeLink({ template: 'invited', uses: 2, timeout: 120 });
  const query = `${queryOf(link)}&redirect=0`;
  const answers = await Promise.all(
    Array.from({ length: 6 }, (_, i) => start(query, {}, site.publicUrls[i % 2])),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 403, 403, 403, 403]);
  const refused = answers.find(({ status }) => status === 403);
  expect(await refused?.json()).toMatchObject({
    type: 'urn:ephemera:problem:link_refused',
    detail:
      'This link has already started its maximum number of instances. Ask the operator for a new one.',
  });
  const id = await answers.find(({ status }) => status === 200)?.text();
  expect(await (await site.api('GET', `/v1/instances/${id ?? ''}`)).json()).toMatchObject({
    template: 'invited',
    timeout: 120,
  });
  const fresh = queryOf(await makeLink({ template: 'invited' }));
  for (const bad of [`${fresh}&template=plain`, `${fresh}x`, fresh.replace('link=', 'link=x')]) {
    expect((await start(bad)).status, bad).toBe(403);
  }
  expect((await site.api('POST', '/v1/links', { template: 'members' })).status).toBe(409);
  expect((await site.api('POST', '/v1/links', { uses: 0 })).status).toBe(400);
});

test('opening a link asks for confirmation, so that link previews do not use it up', async () => {
  const link = await makeLink({ template: 'plain' });
  const context = await browser.newContext();
  const page = await context.newPage();
  const referrers: (string | undefined)[] = [];
  page.on('request', (request) => referrers.push(request.headers()['referer']));
  const own = `${base}/demo/new?${queryOf(link)}`;
  for (let i = 0; i < 2; i++) expect((await page.goto(own))?.status()).toBe(200);
  await page.getByRole('button', { name: 'Start an instance' }).click();
  await page.waitForURL(/\/demo\/[a-z][a-z0-9]{25}\/$/);
  // The instance receives the origin of the proxy as the referrer, without the link.
  expect(referrers.join()).not.toContain('link=');
  expect((await start(queryOf(link))).status).toBe(403);
});

test('prefetches and cross-site requests start nothing', async () => {
  const count = async () =>
    ((await (await site.api('GET', '/v1/instances')).json()) as { items: unknown[] }).items.length;
  const before = await count();
  for (const headers of [
    { 'sec-purpose': 'prefetch', 'sec-fetch-site': 'same-origin' },
    { purpose: 'prefetch' },
    { 'x-moz': 'prefetch' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
    // Requests from a page of an instance in path form.
    { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' },
    { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
  ]) {
    for (const method of ['GET', 'POST']) {
      const answer = await start('', { method, headers });
      expect(answer.status).toBe(403);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      expect(await answer.json()).toMatchObject({
        type: 'urn:ephemera:problem:unintended_request',
      });
    }
  }
  expect(
    (await start('', { method: 'POST', headers: { origin: 'http://x.example' } })).status,
  ).toBe(403);
  expect(await count()).toBe(before);
});

test('the access token of an instance works as a header and in a link from its creation', async () => {
  const made = await site.api(
    'POST',
    '/v1/instances',
    { template: 'shared' },
    { prefer: 'wait=30' },
  );
  expect(made.status).toBe(201);
  const body = (await made.json()) as { id: string; accessToken: string; link: string };
  const { id, accessToken, link } = body;
  issued.add(accessToken);
  expect(accessToken).toMatch(/^[\w-]{43}$/);
  expect((await enter(id)).status).toBe(403);
  expect((await enter(id, { 'ephemera-token': `${accessToken}x` })).status).toBe(403);
  const entered = await enter(id, { 'ephemera-token': accessToken }, 'cgi-bin/echo');
  expect(entered.status).toBe(200);
  expect(await entered.text()).not.toContain(accessToken);
  const led = await enter(id, {}, new URL(link).search);
  expect(led.status).toBe(303);
  expect(led.headers.get('location')).toBe(`/demo/${id}/`);
  // No other response contains the token, and Redis does not store it.
  for (const path of [`/v1/instances/${id}`, '/v1/instances']) {
    expect(await (await site.api('GET', path)).text()).not.toContain(accessToken);
  }
  // Tokens of other instances are refused, also after the end of the instance.
  const other = await start('template=shared&redirect=0');
  const foreign = other.headers.get('ephemera-token') ?? '';
  issued.add(foreign);
  expect((await enter(id, { 'ephemera-token': foreign })).status).toBe(403);
  await site.api('DELETE', `/v1/instances/${id}`);
  await waitFor('the end of the instance', async () => {
    return (await enter(id, { 'ephemera-token': accessToken })).status === 410;
  });
  const wrong = await enter(id, { 'ephemera-token': foreign });
  const never = await enter(`a${id.slice(1, -1)}0`, { 'ephemera-token': foreign });
  expect([wrong.status, await wrong.text()]).toEqual([never.status, await never.text()]);
  expect((await enter(await other.text(), { 'ephemera-token': accessToken })).status).toBe(403);
});

test('only clients with access receive the events of a start', async () => {
  const made = await start('template=shared&redirect=0');
  const id = await made.text();
  const token = made.headers.get('ephemera-token') ?? '';
  issued.add(token);
  const events = (headers: Record<string, string>) =>
    fetch(`${base}/demo/-/${id}/events`, { headers });
  const cookies = made.headers.getSetCookie().join('\n');
  expect(cookies).toContain(`Path=/demo/-/${id};`);
  expect((await events({})).status).toBe(403);
  expect((await events({ 'ephemera-token': 'wrong' })).status).toBe(403);
  const cookie = `ephemera-token=${token}`;
  expect((await events({ cookie, origin: 'http://neighbour.example' })).status).toBe(403);
  expect((await events({ cookie, 'sec-fetch-site': 'same-site' })).status).toBe(403);
  const seen = await events({ cookie });
  expect(seen.status).toBe(200);
  await seen.body?.cancel();
});

test('only the browser that claimed a warm instance can access it', async () => {
  await waitFor('a warm instance', async () => {
    const { items } = (await (await site.api('GET', '/v1/templates')).json()) as {
      items: { name: string; pool: { warm: number } }[];
    };
    return items.find(({ name }) => name === 'own')?.pool.warm === 1;
  });
  const [mine, other] = [await browser.newContext(), await browser.newContext()];
  const page = await mine.newPage();
  expect((await page.goto(`${base}/demo/new?template=own`))?.status()).toBe(200);
  const id = page.url().split('/')[4] ?? '';
  await page.getByText(id).first().waitFor();
  expect(page.url()).toBe(`${base}/demo/${id}/`);
  const cookies = await mine.cookies(`${base}/demo/${id}/`);
  expect(cookies.find(({ name }) => name === 'ephemera-token')).toMatchObject({
    ...{ path: `/demo/${id}`, httpOnly: true, sameSite: 'Lax' },
  });
  for (const { value } of cookies) issued.add(value);
  // Neither scripts of the page nor the instance see the cookies.
  expect(await page.evaluate('document.cookie')).toBe('');
  await page.goto(`${base}/demo/${id}/cgi-bin/echo`);
  for (const { value } of cookies) expect(await page.content()).not.toContain(value);
  const stranger = await (await other.newPage()).goto(`${base}/demo/${id}/`);
  expect(stranger?.status()).toBe(403);
  expect(await stranger?.text()).toContain('this client has no access to it');
});

test('a browser and a script can solve the proof of work, and each solution is valid once', async () => {
  const asked = await start('template=worked');
  expect(asked.status).toBe(403);
  const { challenge, bits } = (await asked.json()) as { challenge: string; bits: number };
  expect(bits).toBe(12);
  let number = 0;
  while (!hash('sha256', `${challenge}:${number}`, 'hex').startsWith('000')) number++;
  const work = encodeURIComponent(`${challenge}:${number}`);
  const done = await Promise.all(
    [0, 1, 0].map((at) => start(`template=worked&work=${work}`, {}, site.publicUrls[at])),
  );
  expect(done.map(({ status }) => status).sort()).toEqual([307, 403, 403]);
  const page = await browser.newPage();
  await page.goto(`${base}/demo/new?template=worked`);
  await page.waitForURL(/\/demo\/[a-z][a-z0-9]{25}\/$/);
  await page
    .getByText(page.url().split('/')[4] ?? '')
    .first()
    .waitFor();
});

// Near the end of the file, because it uses up the rate limit of this address.
test('an address over its rate limit gets 429, and a token has a separate limit', async () => {
  let answer = await start('template=nothing');
  let asked = 0;
  while (answer.status !== 429 && asked++ < 60) {
    answer = await start('template=invited', {}, site.publicUrls[asked % 2]);
  }
  expect(answer.status).toBe(429);
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(3000);
  expect(answer.headers.get('ratelimit-policy')).toBe('"address";q=40;w=3600');
  expect(answer.headers.get('ratelimit')).toMatch(/^"address";r=0;t=\d+$/);
  expect(await answer.json()).toMatchObject({ type: 'urn:ephemera:problem:rate_limited' });
  expect((await start('template=members&redirect=0', { headers: bearer })).status).toBe(200);
});

test('no log and no Redis key contains a token or a link', async () => {
  issued.delete('');
  expect(issued.size).toBeGreaterThan(6);
  const logs = [...site.proxies, ...site.workers].map((app) => app.log()).join('');
  for (const secret of issued) expect(logs).not.toContain(secret);
  const redis = new Redis(site.redis.url);
  try {
    let seen = 0;
    for (const key of await redis.keys('*')) {
      // A key may have expired since the keys were listed.
      const dump = ((await redis.dumpBuffer(key)) as Buffer | null)?.toString('latin1') ?? '';
      seen += dump.length;
      for (const secret of issued) expect(dump.includes(secret), key).toBe(false);
    }
    expect(seen).toBeGreaterThan(10_000);
  } finally {
    redis.disconnect();
  }
});
