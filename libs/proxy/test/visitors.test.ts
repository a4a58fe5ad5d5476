import { hash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { text } from 'node:stream/consumers';
import { parseTemplates } from '@ephemera/config';
import type { Instance, InstanceDraft } from '@ephemera/domain';
import { CHROMIUM } from '@ephemera/test-support';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { instancePage } from '../src/visitors/instance-page.ts';
import type { InstanceView } from '../src/visitors/instance-view-schema.ts';
import { viewInstance } from '../src/visitors/instance-view.ts';
import { type OpenPorts, openPorts } from './open-ports.ts';

// The gallery and the page of an instance: who sees what, and who may change what.

const TEMPLATES = `
default: hidden
templates:
  hidden: { image: a, port: 80, title: Not listed }
  notebook:
    image: a
    port: 80
    title: Notebook <1>
    description: 'Python & data'
    gallery: true
    timeout: 10m
    maxTimeout: 1h
    visitor: { renew: 15m, end: true }
  fixed: { image: a, port: 80, gallery: true }
  pausing:
    { image: a, port: 80, timeout: 10m, maxTimeout: 1h, onTimeout: pause, visitor: { renew: 5m } }
  guarded: { image: a, port: 80, access: token, gallery: true, visitor: { renew: 15m, end: true } }
`;
const { templates } = parseTemplates(TEMPLATES);
const template = (name: string) => {
  const found = templates.get(name);
  if (!found) throw new Error(`no template ${name}`);
  return found;
};

/** What a browser sends when it opens a page, and when a form of a page of this origin is sent. */
const NAVIGATION = {
  accept: 'text/html',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
  'sec-fetch-site': 'none',
};
const FORM = { ...NAVIGATION, 'sec-fetch-site': 'same-origin' };
const JSON_CLIENT = { accept: 'application/json' };

let ports: OpenPorts;
let hostForm: OpenPorts;

beforeAll(async () => {
  ports = await openPorts(TEMPLATES);
  hostForm = await openPorts(TEMPLATES, { domain: 'demos.example' });
});
afterAll(async () => {
  for (const opened of [ports, hostForm]) {
    await opened.stop();
    expect(opened.bugs).toEqual([]);
  }
});

/** Sends a request with any headers; `fetch` refuses some. */
function ask(
  path: string,
  headers: Record<string, string>,
  { method = 'GET', to = ports }: { method?: string; to?: OpenPorts } = {},
) {
  return new Promise<{ status: number | undefined; body: string; headers: NodeJS.Dict<string[]> }>(
    (resolve, reject) => {
      const { port } = new URL(to.publicUrl);
      httpRequest({ port, path, method, headers: { host: '127.0.0.1', ...headers } }, (res) => {
        void text(res).then((body) =>
          resolve({ status: res.statusCode, body, headers: res.headersDistinct }),
        );
      })
        .on('error', reject)
        .end();
    },
  );
}

/** Starts an instance like a browser: its id, and its cookies for each path. */
async function start(name: string, cookie = '', to = ports) {
  const started = await ask(`/demo/new?template=${name}`, { ...NAVIGATION, cookie }, { to });
  expect(started.status).toBe(307);
  const set = started.headers['set-cookie'] ?? [];
  const own = set.find((line) => line.startsWith('ephemera-instances=')) ?? '';
  const location = started.headers['location']?.[0] ?? '';
  const id = /[a-z][a-z0-9]{25}/.exec(location)?.[0] ?? '';
  return { id, own, cookie: own.split(';')[0] ?? '' };
}

async function ready(id: string, { instances }: OpenPorts = ports): Promise<void> {
  const { generation } = (await instances.get(id)) ?? { generation: 0 };
  await instances.assignToHost(id, generation, 'host');
  await instances.markReady(id, generation, '10.231.1.1');
}

const view = async (id: string, headers: Record<string, string> = {}) =>
  JSON.parse((await ask(`/demo/-/${id}`, { ...JSON_CLIENT, ...headers })).body) as Record<
    string,
    unknown
  >;

describe('the gallery', () => {
  test('lists the templates with `gallery: true`, and names no other', async () => {
    for (const path of ['/demo', '/demo/', '/']) {
      const { status, body } = await ask(path, NAVIGATION);
      expect(status).toBe(200);
      expect(body).toContain('<h3>Notebook &lt;1&gt;</h3>');
      expect(body).toContain('<p>Python &amp; data</p>');
      expect(body).toContain('name="template" value="fixed"');
      expect(body).not.toMatch(/value="hidden"|Not listed/);
    }
  });

  test('lists the instances of this browser, and not those of others', async () => {
    const first = await start('notebook');
    const second = await start('fixed', first.cookie);
    const others = await start('notebook');
    const { body } = await ask('/demo/', { ...NAVIGATION, cookie: second.cookie });
    for (const { id } of [first, second]) expect(body).toContain(`href="/demo/-/${id}/"`);
    expect(body).not.toContain(others.id);
    expect((await ask('/demo/', NAVIGATION)).body).not.toContain('Your instances');
  });

  test('believes only signed ids', async () => {
    const { id, cookie } = await start('notebook');
    const other = await start('notebook');
    const signature = cookie.split('.')[1] ?? '';
    for (const forged of [id, `${id}.`, `${other.id}.${signature}`]) {
      const headers = { ...NAVIGATION, cookie: `ephemera-instances=${forged}` };
      expect((await ask('/demo/', headers)).body).not.toContain('Your instances');
    }
  });

  test('of the path form tells scripts of instances nothing, and has its own origin', async () => {
    const { id, cookie } = await start('notebook');
    const opened = await ask('/demo/', { ...NAVIGATION, cookie });
    expect(opened.body).toContain(id);
    expect(opened.headers['content-security-policy']?.[0]).toMatch(
      /frame-ancestors 'none'; sandbox allow-forms allow-scripts$/,
    );
    const SCRIPT = { ...NAVIGATION, cookie, 'sec-fetch-site': 'same-origin' };
    for (const headers of [
      { ...SCRIPT, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' },
      { ...SCRIPT, 'sec-fetch-dest': 'iframe' },
      // Over plain HTTP the request of a script is not distinguishable.
      { accept: 'text/html', cookie },
    ]) {
      expect((await ask('/demo/', headers)).body).not.toContain(id);
    }
  });

  test('of the host form is on an origin without instances', async () => {
    const to = hostForm;
    const { id, cookie, own } = await start('notebook', '', to);
    expect(own).toMatch(/; Path=\/demo; HttpOnly; SameSite=Lax$/);
    const opened = await ask('/demo/', { accept: 'text/html', cookie }, { to });
    expect(opened.body).toContain(`href="http://${id}.demos.example/"`);
    expect(opened.headers['content-security-policy']?.[0]).not.toContain('sandbox');
  });

  test('keeps the newest instances only', async () => {
    let cookie = '';
    const ids: string[] = [];
    for (let i = 0; i < 10; i++) {
      const started = await start('fixed', cookie);
      cookie = started.cookie;
      ids.push(started.id);
    }
    expect(cookie.split('~')).toHaveLength(8);
    const { body } = await ask('/demo/', { ...NAVIGATION, cookie });
    expect(ids.map((id) => body.includes(id))).toEqual(ids.map((_, i) => i >= 2));
  });
});

test('a start takes ended instances off the list of its browser', async () => {
  const ended = await start('notebook');
  await ready(ended.id);
  const { id, cookie } = await start('fixed', ended.cookie);
  const form = { ...FORM, cookie };
  expect((await ask(`/demo/-/${ended.id}/end`, form, { method: 'POST' })).status).toBe(303);
  // The route of the ended instance may be cached for a moment.
  const next = async () => (await start('fixed', cookie)).cookie;
  await expect.poll(next, { timeout: 20_000 }).not.toContain(ended.id);
  expect(await next()).toContain(id);
});

test('cookies that a page of an instance plants do not lock its visitor out', async () => {
  const { id, cookie } = await start('notebook');
  const planted = `${'ephemera-instances=x; '.repeat(4)}${cookie}`;
  expect((await ask('/demo/', { ...NAVIGATION, cookie: planted })).body).toContain(id);
  expect(await view(id, { cookie: planted, 'sec-fetch-site': 'same-origin' })).toMatchObject({
    mayEnd: true,
  });
});

describe('the state of an instance', () => {
  test('is readable with its id', async () => {
    const { id } = await start('notebook');
    expect(await view(id)).toMatchObject({
      id,
      title: 'Notebook <1>',
      state: 'pending',
      mayRenew: false,
      mayEnd: false,
    });
    await ready(id);
    const seen = await view(id);
    expect(seen).toMatchObject({ state: 'ready', isExpiring: false, mayRenew: false });
    expect(seen['secondsLeft']).toBeGreaterThan(590);
    expect(seen['secondsLeft']).toBeLessThanOrEqual(600);
    expect((await ask('/demo/-/a0000000000000000000000000', JSON_CLIENT)).status).toBe(404);
  });

  test('of a guarded instance is for its token and its browser', async () => {
    const token = 't'.repeat(43);
    const draft: Partial<InstanceDraft> = {
      template: template('guarded'),
      accessHash: hash('sha256', token, 'base64url'),
    };
    const id = await ports.startInstance(draft);
    expect((await ask(`/demo/-/${id}`, JSON_CLIENT)).status).toBe(403);
    expect(await view(id, { 'ephemera-token': token })).toMatchObject({ mayEnd: true });
    const cookie = `ephemera-token=${token}`;
    expect(await view(id, { cookie, 'sec-fetch-site': 'same-origin' })).toMatchObject({ id });
    const foreign = { ...JSON_CLIENT, cookie, 'sec-fetch-site': 'same-site' };
    expect((await ask(`/demo/-/${id}`, foreign)).status).toBe(403);
    const started = await start('guarded');
    const own = { ...JSON_CLIENT, cookie: started.cookie };
    expect((await ask(`/demo/-/${started.id}`, own)).status).toBe(200);
  });

  test('has a page with what its visitor may do', async () => {
    const { id, cookie } = await start('notebook');
    await ready(id);
    const own = (await ask(`/demo/-/${id}/`, { ...NAVIGATION, cookie })).body;
    expect(own).toContain('<form method="post" action="renew">');
    expect(own).toContain('<form method="post" action="end"');
    const guest = (await ask(`/demo/-/${id}/`, NAVIGATION)).body;
    expect(guest).toContain('Notebook &lt;1&gt;');
    expect(guest).not.toContain('method="post"');
  });
});

// The landing path may contain a secret, such as the token of a notebook.
test('a guest gets no landing path of an instance', async () => {
  const path = '/lab?token=SECRET';
  for (const to of [ports, hostForm]) {
    const id = await to.startInstance({ template: template('notebook'), path });
    for (const headers of [NAVIGATION, JSON_CLIENT, FORM]) {
      const seen = await ask(`/demo/-/${id}/`, headers, { to });
      expect(seen.status).toBe(200);
      expect(seen.body).toContain(id);
      expect(seen.body).not.toContain('SECRET');
    }
  }
  const started = await ask(
    `/demo/new?template=notebook&path=${encodeURIComponent(path)}`,
    NAVIGATION,
  );
  const cookie = /ephemera-instances=[^;]+/.exec(started.headers['set-cookie']?.join() ?? '')?.[0];
  const id = /[a-z][a-z0-9]{25}/.exec(started.headers['location']?.[0] ?? '')?.[0] ?? '';
  const own = await ask(`/demo/-/${id}/`, { ...NAVIGATION, cookie: cookie ?? '' });
  expect(own.body).toContain('SECRET');
});

describe('a change', () => {
  const change = (id: string, what: string, headers: Record<string, string>) =>
    ask(`/demo/-/${id}/${what}`, headers, { method: 'POST' });

  test('with the form of the page renews and ends the own instance', async () => {
    const { id, cookie } = await start('notebook');
    await ready(id);
    const before = (await ports.instances.get(id))?.expiresAt ?? 0;
    const renewed = await change(id, 'renew', { ...FORM, cookie });
    expect(renewed).toMatchObject({ status: 303, headers: { location: ['./'] } });
    const after = (await ports.instances.get(id))?.expiresAt ?? 0;
    expect(after - before).toBeGreaterThan(295_000);
    const again = await change(id, 'renew', { ...FORM, ...JSON_CLIENT, cookie });
    expect(JSON.parse(again.body)).toMatchObject({ state: 'ready', mayRenew: false });

    expect((await change(id, 'end', { ...FORM, cookie })).status).toBe(303);
    expect(await ports.instances.get(id)).toMatchObject({ state: 'draining', reason: 'request' });
    const { body } = await ask(`/demo/-/${id}/`, { ...NAVIGATION, cookie });
    expect(body).toContain('<h1>Notebook &lt;1&gt; has ended</h1>');
    expect(body).toContain('<p>It was stopped on request.</p>');
    expect((await change(id, 'renew', { ...FORM, cookie })).status).toBe(410);
  });

  test.each([
    ['another site', { 'sec-fetch-site': 'cross-site' }],
    ['the origin of another instance', { 'sec-fetch-site': 'same-site' }],
    ['a script of the same origin', { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }],
    ['a script that claims a page', { 'sec-fetch-mode': 'cors' }],
    ['a frame', { 'sec-fetch-dest': 'iframe' }],
  ])('by a request of %s is refused', async (_name, differs: Record<string, string>) => {
    const { id, cookie } = await start('notebook');
    await ready(id);
    expect((await change(id, 'end', { ...FORM, cookie, ...differs })).status).toBe(403);
    expect(await ports.instances.get(id)).toMatchObject({ state: 'ready' });
  });

  // Over plain HTTP a script of an instance of the same origin sends the same headers as a form.
  test('of the path form by cookie is impossible over plain HTTP, and the page says why', async () => {
    const { id, cookie } = await start('notebook');
    await ready(id);
    const sender = { cookie, origin: 'http://127.0.0.1' };
    for (const headers of [
      { ...sender, accept: 'text/html' },
      { ...sender, accept: '*/*' },
    ]) {
      const refused = await change(id, 'end', headers);
      expect(refused.status).toBe(403);
      expect(refused.body).toContain('use HTTPS and a current browser');
    }
    expect(await ports.instances.get(id)).toMatchObject({ state: 'ready' });
    const { body } = await ask(`/demo/-/${id}/`, { accept: 'text/html', cookie });
    expect(body).not.toContain('method="post"');
    expect(body).toContain('open this page over HTTPS');
    expect(await view(id, { cookie })).toMatchObject({ mayRenew: false, mayEnd: false });
    const proven = (await ask(`/demo/-/${id}/`, { ...NAVIGATION, cookie })).body;
    expect(proven).not.toContain('open this page over HTTPS');
  });

  test('of the host form needs the origin of the page over plain HTTP', async () => {
    const to = hostForm;
    const { id, cookie } = await start('notebook', '', to);
    await ready(id, to);
    const page = await ask(`/demo/-/${id}/`, { accept: 'text/html', cookie }, { to });
    expect(page.body).toContain('<form method="post" action="end"');
    const end = async (headers: Record<string, string>) =>
      (
        await ask(
          `/demo/-/${id}/end`,
          { accept: 'text/html', cookie, ...headers },
          { to, method: 'POST' },
        )
      ).status;
    expect(await end({})).toBe(403);
    for (const origin of [`http://${id}.demos.example`, 'http://evil.example', 'null']) {
      expect(await end({ origin })).toBe(403);
    }
    expect(await to.instances.get(id)).toMatchObject({ state: 'ready' });
    expect(await end({ origin: 'http://127.0.0.1' })).toBe(303);
  });

  test('of an instance of another browser is refused', async () => {
    const { id } = await start('notebook');
    await ready(id);
    const { cookie } = await start('notebook');
    expect((await change(id, 'end', FORM)).status).toBe(403);
    expect((await change(id, 'end', { ...FORM, cookie })).status).toBe(403);
    expect(await ports.instances.get(id)).toMatchObject({ state: 'ready' });
  });

  test('that the template does not allow is refused', async () => {
    const { id, cookie } = await start('fixed');
    await ready(id);
    for (const what of ['renew', 'end']) {
      const answer = await change(id, what, { ...FORM, ...JSON_CLIENT, cookie });
      expect(answer.status).toBe(403);
      expect(answer.body).toContain(`visitors may not ${what} instances of this template`);
    }
    expect(await ports.instances.get(id)).toMatchObject({ state: 'ready' });
  });

  test('with the access token needs no page', async () => {
    const token = 'u'.repeat(43);
    const accessHash = hash('sha256', token, 'base64url');
    const id = await ports.startInstance({ template: template('guarded'), accessHash });
    const answer = await change(id, 'end', { ...JSON_CLIENT, 'ephemera-token': token });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({ state: 'ended' });
  });

  test('is counted by instance', async () => {
    const { id, cookie } = await start('notebook');
    await ready(id);
    const statuses: (number | undefined)[] = [];
    for (let i = 0; i < 11; i++) {
      statuses.push((await change(id, 'renew', { ...FORM, cookie })).status);
    }
    expect(statuses.filter((status) => status === 303)).toHaveLength(10);
    expect(statuses.at(-1)).toBe(429);
  });
});

describe('an instance that pauses at its deadline', () => {
  const running = async () => {
    const { id, cookie } = await start('notebook');
    await ready(id);
    const instance = await ports.instances.get(id);
    if (!instance) throw new Error('no instance');
    return { cookie, instance: { ...instance, template: template('pausing') } };
  };
  const owner = { role: 'owner', mayChange: true } as const;
  const seenAt = (instance: Instance, now: number) => viewInstance(instance, undefined, owner, now);

  test('is not ended then, and says when it pauses', async () => {
    const { instance } = await running();
    const { expiresAt, maxExpiresAt } = instance;
    const before = seenAt(instance, expiresAt - 60_000);
    expect(before).toMatchObject({ state: 'ready', pauses: true, secondsLeft: 60, mayRenew: true });
    const late = seenAt(instance, expiresAt + 1);
    expect(late).toMatchObject({ state: 'ready', secondsLeft: 0, mayRenew: false });
    const paused = seenAt({ ...instance, state: 'paused' }, expiresAt + 1);
    expect(paused).toMatchObject({
      state: 'paused',
      pauses: false,
      expiresAt: new Date(maxExpiresAt).toISOString(),
    });
    expect(seenAt({ ...instance, state: 'paused' }, maxExpiresAt).state).toBe('ended');
    const last = { ...instance, expiresAt: maxExpiresAt };
    expect(seenAt(last, maxExpiresAt - 1)).toMatchObject({ state: 'ready', pauses: false });
    expect(seenAt(last, maxExpiresAt).state).toBe('ended');
    const kills = { ...instance, template: template('notebook') };
    expect(seenAt(kills, expiresAt).state).toBe('ended');
  });

  test('has a page that says so, and when its visitor may extend it', async () => {
    const { instance } = await running();
    const { expiresAt, maxExpiresAt } = instance;
    const links = { open: '/', own: '', gallery: '/', again: '/' };
    const pageOf = (seen: InstanceView) => instancePage(seen, links, { isUnproven: false }).markup;
    const early = pageOf(seenAt(instance, expiresAt - 400_000));
    expect(early).toContain('It pauses in');
    expect(early).toContain('It can be extended when less than 5 min are left.');
    const soon = pageOf(seenAt(instance, expiresAt - 60_000));
    expect(soon).toContain('action="renew"');
    expect(soon).not.toContain('be extended');
    const last = pageOf(seenAt({ ...instance, expiresAt: maxExpiresAt }, maxExpiresAt - 60_000));
    expect(last).toContain('It ends in');
    expect(last).toContain('It cannot be extended: it already lasts as long as it may.');
    const starting = pageOf(seenAt({ ...instance, state: 'starting' }, expiresAt - 60_000));
    expect(starting).not.toContain('be extended');
  });
});

describe('the script for applications', () => {
  test('survives failures, and says that the instance has ended', async () => {
    const { id, cookie } = await start('notebook');
    await ready(id);
    const browser = await chromium.launch(CHROMIUM);
    onTestFinished(() => browser.close());
    const page = await browser.newPage({ bypassCSP: true });
    const own = `${ports.publicUrl}/demo/-/${id}/`;
    await page.goto(own);
    await page.addScriptTag({ url: `${own}countdown.js` });
    const shown = page.locator('[data-ephemera-countdown]');
    await shown.getByText(/^Ends in/).waitFor();
    const read = async () => {
      const answered = page.waitForResponse(own);
      await page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`);
      await (await answered).finished();
    };
    await page.route(own, (asked) => asked.fulfill({ status: 403, json: { status: 403 } }));
    await read();
    const before = await shown.innerText();
    await expect.poll(() => shown.innerText(), { timeout: 20_000 }).not.toBe(before);
    expect(await shown.innerText()).toMatch(/^Ends in/);
    await page.unroute(own);
    await ask(`/demo/-/${id}/end`, { ...FORM, cookie }, { method: 'POST' });
    await read();
    await shown.getByText(/^Ended$/).waitFor();
  });
});

test('the script for applications may be cached, in both address forms', async () => {
  const id = await ports.startInstance({ template: template('fixed') });
  const script = await ask(`/demo/-/${id}/countdown.js`, { accept: '*/*' });
  expect(script.status).toBe(200);
  expect(script.headers['content-type']?.[0]).toMatch(/^text\/javascript/);
  expect(script.headers['cache-control']).toEqual(['public, max-age=3600']);
  const inHost = { host: `${id}.demos.example` };
  const own = await ask(`/demo/-/${id}/countdown.js`, inHost, { to: hostForm });
  expect(own.body).toBe(script.body);
});
