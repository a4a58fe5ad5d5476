import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { CHROMIUM, waitFor } from '@ephemera/test-support';
import axe from 'axe-core';
import type { AxeResults } from 'axe-core';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';

// A visitor opens an instance that is not ready yet, sees its progress, and is forwarded to it. The
// test ends the wait of an application, so that it takes as long as the checks before it.

const run = promisify(execFile);
const WAIT = 'until [ -e /tmp/continue ]; do sleep 0.1; done';

const templates = (registry: number) => `
default: slow
templates:
  slow:
    title: A slow start
    image: ephemera/demo
    port: 8080
    ready: { http: /id, within: 60s }
    stopGrace: 0s
    limits: { memory: 64m }
    tmpfs: { /tmp: 8m }
    command: ['/bin/sh', '-c', '${WAIT}; exec /bin/serve']
  exits:
    image: ephemera/demo
    port: 8080
    stopGrace: 0s
    tmpfs: { /tmp: 8m }
    command: ['/bin/sh', '-c', '${WAIT}; echo "<b>the disk</b> is missing"; exit 7']
  never-ready:
    image: ephemera/demo
    port: 8080
    ready: { tcp: true, within: 8s }
    stopGrace: 0s
    command: ['/bin/sh', '-c', 'echo waiting for nothing; sleep 60']
  single:
    image: ephemera/demo
    port: 8080
    stopGrace: 0s
    maxInstances: 1
    whenFull: queue
    tmpfs: { /tmp: 8m }
  far:
    image: 127.0.0.1:${registry}/far
    port: 8080
    ready: { tcp: true, within: 1s }
`;

let site: Deployment;
let base: string;
let browser: Browser;

beforeAll(async () => {
  registry.on('connection', (socket) => void silent.add(socket.on('error', () => undefined)));
  const env = { EPHEMERA_PULL_TIMEOUT: '7s' };
  site = await deploy({ templates: templates(await listen(registry)), env });
  base = site.publicUrls[0] ?? '';
  browser = await chromium.launch(CHROMIUM);
});
afterEach(() => {
  expect(pageErrors.splice(0)).toEqual([]);
});
afterAll(async () => {
  await browser.close();
  await site.stop();
  for (const socket of silent) socket.destroy();
  registry.close();
});

/** A registry that accepts connections and never responds. */
const registry = createServer();
const silent = new Set<Socket>();

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** Script errors and content security policy violations of the page. */
const pageErrors: string[] = [];

async function openPage(options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on('pageerror', (error) => pageErrors.push(error.message));
  page.on('console', (line) => {
    if (line.text().includes('Content Security Policy')) pageErrors.push(line.text());
  });
  return page;
}

/** Accessibility violations that axe finds on the current page. */
async function findings(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { passes, violations } = await page.evaluate<AxeResults>('axe.run()');
  expect(passes.length).toBeGreaterThan(5);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`);
}

async function newInstance(template: string): Promise<string> {
  return (await fetch(`${base}/demo/new?redirect=0&template=${template}`)).text();
}

/** Ends the wait of an instance's application. */
async function endWait(id: string, namespace = site.namespace): Promise<void> {
  const labels = [`ephemera.namespace=${namespace}`, `ephemera.instance=${id}`];
  const filters = labels.flatMap((label) => ['--filter', `label=${label}`]);
  const container = await waitFor('the container', async () => {
    const { stdout } = await run('docker', ['ps', '-q', ...filters]);
    return stdout.trim() || undefined;
  });
  await run('docker', ['exec', container, 'touch', '/tmp/continue']);
}

const idOf = (page: Page) => page.url().split('/')[4] ?? '';

/** Sends the headers of a browser navigation, which `fetch` does not allow. */
async function navigate(
  url: string,
  headers: Record<string, string> = { accept: 'text/html,*/*;q=0.8', 'sec-fetch-mode': 'navigate' },
): Promise<{ res: IncomingMessage; html: string }> {
  const res = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url, { headers, agent: false }, resolve).once('error', reject);
  });
  return { res, html: await text(res) };
}

test('the page shows the steps accessibly and forwards to the instance', async () => {
  const page = await openPage();
  const answer = await page.goto(`${base}/demo/new?template=slow`);
  expect(answer?.status()).toBe(200);
  expect(await page.getByRole('heading').innerText()).toBe('Starting A slow start');
  const bar = page.getByRole('progressbar', { name: 'Starting A slow start' });
  const before = Number(await bar.getAttribute('value'));
  await page.getByRole('status').getByText('Waiting for the application to respond.').waitFor();
  // The start may have reached this step before the page was loaded.
  const then = Number(await bar.getAttribute('value'));
  expect(then).toBeGreaterThanOrEqual(before);
  expect(then).toBeGreaterThanOrEqual(85);
  expect(await findings(page)).toEqual([]);
  await page.emulateMedia({ colorScheme: 'dark' });
  expect(await findings(page)).toEqual([]);
  // The next request must be for the page of the instance.
  const asked: string[] = [];
  page.on('request', (request) => asked.push(request.resourceType()));
  const id = idOf(page);
  await endWait(id);
  await page.locator('html:not([data-step])').waitFor();
  expect(asked[0]).toBe('document');
  await page.getByText(id).first().waitFor();
  await page.context().close();
});

test('the page forwards without JavaScript', async () => {
  const page = await openPage({ javaScriptEnabled: false });
  await page.goto(`${base}/demo/new?template=slow`);
  expect(await page.getByRole('heading').innerText()).toBe('Starting A slow start');
  await page.locator('html[data-step=probing]').waitFor();
  const id = idOf(page);
  await endWait(id);
  await page.locator('html:not([data-step])').waitFor();
  expect(await page.content()).toContain(id);
  await page.context().close();
});

test('the page is small, is not cached, and requests nothing from other hosts', async () => {
  const id = await newInstance('slow');
  const { res, html } = await navigate(`${base}/demo/${id}/`);
  expect(res.statusCode).toBe(200);
  expect(res.headers).toMatchObject({ 'ephemera-state': 'starting', 'cache-control': 'no-store' });
  expect(res.headers.vary).toContain('Sec-Fetch-Mode');
  expect(res.headers['content-security-policy']).toMatch(
    /^default-src 'none'; style-src 'nonce-[\w+/]{24}'; script-src 'nonce-[\w+/]{24}'; connect-src 'self'/,
  );
  expect(html.length).toBeLessThan(8_000);
  expect(html).not.toMatch(/https?:\/\//);
  const nonceOf = (page: string) => /nonce="([^"]+)"/.exec(page)?.[1];
  const again = await navigate(`${base}/demo/${id}/`);
  expect(nonceOf(again.html)).not.toBe(nonceOf(html));
});

test('requests of scripts, fetch, images and API clients are held until the instance is ready', async () => {
  const page = await openPage();
  const id = await newInstance('slow');
  await page.goto(`${base}/demo/${id}/`);
  // The content security policy of the waiting page would block these requests, so another page of
  // the same origin sends them.
  const other = await page.context().newPage();
  await other.goto(`${base}/`);
  let hasAnswer = false;
  const held = [
    other.request.get(`${base}/demo/${id}/id`).then((answer) => answer.text()),
    fetch(`${base}/demo/${id}/id`).then((answer) => answer.text()),
    fetch(`${base}/demo/${id}/id`, {
      headers: { accept: 'text/html', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' },
    }).then((answer) => answer.text()),
    fetch(`${base}/demo/${id}/id`, {
      headers: { accept: '*/*', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'script' },
    }).then((answer) => answer.text()),
    fetch(`${base}/demo/${id}/id`, {
      headers: { accept: 'text/html', 'x-requested-with': 'XMLHttpRequest' },
    }).then((answer) => answer.text()),
  ].map((answer) => answer.finally(() => (hasAnswer = true)));
  await page.locator('html[data-step=probing]').waitFor();
  expect(hasAnswer).toBe(false);
  await endWait(id);
  expect(await Promise.all(held)).toEqual([id, id, id, id, id]);
  await page.context().close();
});

test('a WebSocket handshake is held, whatever its Accept header is', async () => {
  const id = await newInstance('slow');
  const headers = {
    accept: 'text/html',
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
  };
  // The demo does not support WebSocket. Its own response shows that the handshake was held.
  const held = navigate(`${base}/demo/${id}/id`, headers);
  await endWait(id);
  const { res, html } = await held;
  expect([res.statusCode, html]).toEqual([200, id]);
});

/** The reason of a failed start, as the control API reports it. */
async function messageOf(id: string): Promise<string> {
  const answer = await site.api('GET', `/v1/instances/${id}`);
  return ((await answer.json()) as { status: { message: string } }).status.message;
}

test('an image pull extends the start deadline and is shown on the page', async () => {
  const page = await openPage();
  await page.goto(`${base}/demo/new?template=far`);
  const status = page.getByRole('status');
  await status.getByText(/^Pulling the image\.$/).waitFor();
  const id = idOf(page);
  const reported = (await (await site.api('GET', `/v1/instances/${id}`)).json()) as object;
  expect(reported).toMatchObject({
    status: {
      state: 'starting',
      message: expect.stringMatching(/^Pulling the image 127\.0\.0\.1:\d+\/far\.$/) as string,
    },
  });
  await page.getByRole('heading', { name: 'This instance could not be started' }).waitFor();
  // The name of the registry is for the operator.
  expect(await page.locator('main').innerText()).not.toContain('127.0.0.1');
  expect(await messageOf(id)).toMatch(
    /The image 127\.0\.0\.1:\d+\/far is not on this host, and pulling it failed: .* 7000 ms/,
  );
  await page.context().close();
});

test('a failed start offers a retry, and its reason and its log are for the operator', async () => {
  const page = await openPage();
  await page.goto(`${base}/demo/new?template=exits`);
  await page.getByRole('status').getByText('Waiting for the application to respond.').waitFor();
  await endWait(idOf(page));
  await page.getByRole('heading', { name: 'This instance could not be started' }).waitFor();
  expect(await page.locator('main').innerText()).toContain('could not be started');
  expect(await page.locator('pre').count()).toBe(0);
  expect(await messageOf(idOf(page))).toMatch(/exited with code 7.*<b>the disk<\/b> is missing/s);
  expect(await findings(page)).toEqual([]);
  await page.emulateMedia({ colorScheme: 'dark' });
  expect(await findings(page)).toEqual([]);
  const first = page.url();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('heading', { name: 'Starting the instance' }).waitFor();
  expect(page.url()).not.toBe(first);
  await page.context().close();
});

test('a start without a response fails at its deadline, also without JavaScript', async () => {
  const page = await openPage({ javaScriptEnabled: false });
  await page.goto(`${base}/demo/new?template=never-ready`);
  await page.getByRole('heading', { name: 'This instance could not be started' }).waitFor();
  expect(await messageOf(idOf(page))).toMatch(
    /not ready within 8 s. Port 8080 refused.*waiting for nothing/s,
  );
  await page.context().close();
});

test('the page of an ended instance offers another instance of its template', async () => {
  const id = await newInstance('single');
  expect(await (await fetch(`${base}/demo/${id}/id`)).text()).toBe(id);
  const page = await openPage();
  await page.goto(`${base}/demo/${id}/`);
  await site.api('DELETE', `/v1/instances/${id}`);
  await waitFor(
    'the end of the instance',
    async () => (await fetch(`${base}/demo/${id}/`)).status === 410,
  );
  await page.reload();
  await page.getByRole('heading', { name: 'This instance has ended' }).waitFor();
  expect(await page.locator('main').innerText()).toContain('It was stopped on request.');
  expect(await findings(page)).toEqual([]);
  await page.getByRole('button', { name: 'Start another' }).click();
  await page.waitForURL((url) => !url.pathname.includes(id));
  const next = idOf(page);
  await page.getByText(next).first().waitFor();
  const shown = (await (await site.api('GET', `/v1/instances/${next}`)).json()) as object;
  expect(shown).toMatchObject({ id: next, template: 'single' });
  await page.context().close();
  // API clients receive JSON.
  const response = await fetch(`${base}/demo/${id}/`, { headers: { accept: 'application/json' } });
  expect(await response.json()).toMatchObject({ status: 410, reason: 'request' });
  await site.api('DELETE', `/v1/instances/${next}`);
});

test('the page of a queued instance shows its position and its changes', async () => {
  const [first, second] = [await newInstance('single'), await newInstance('single')];
  const page = await openPage();
  await page.goto(`${base}/demo/new?template=single`);
  const status = page.getByRole('status');
  await status.getByText('Queued at position 2 of 2.').waitFor();
  expect(await findings(page)).toEqual([]);
  await site.api('DELETE', `/v1/instances/${second}`);
  await status.getByText('Queued at position 1 of 1.').waitFor();
  await site.api('DELETE', `/v1/instances/${first}`);
  await page.locator('html:not([data-step])').waitFor();
  await page.context().close();
});

test('the event stream answers 404 for an unknown id, and ends for a ready instance', async () => {
  const events = (id: string) => fetch(`${base}/demo/-/${id}/events`);
  expect((await events('a'.repeat(26))).status).toBe(404);
  expect((await events('nonsense')).status).toBe(404);
  const id = await newInstance('slow');
  const stream = await events(id);
  expect(stream.headers.get('content-type')).toContain('text/event-stream');
  expect(stream.headers.get('cache-control')).toBe('no-store');
  const read = stream.text();
  await endWait(id);
  const reported = await read;
  expect(reported).toMatch(/event: step\ndata: .*"step":"probing"/);
  expect(reported.endsWith('event: over\ndata: {}\n\n')).toBe(true);
  expect(await (await events(id)).text()).toBe('event: over\ndata: {}\n\n');
});

test('a custom theme is filled in and forwards to the instance', async () => {
  const file = join(tmpdir(), `ephemera-theme-${process.pid}.html`);
  await writeFile(
    file,
    `<!doctype html><html lang="en"><head><title>{{template}}</title>{{follow}}</head>
<body><main><h1>Own page of {{template}}</h1><p data-show="text">{{text}}</p></main></body></html>`,
  );
  const own = await deploy({ templates: templates(1), env: { EPHEMERA_THEME_FILE: file } });
  try {
    const page = await openPage();
    await page.goto(`${own.publicUrls[0] ?? ''}/demo/new`);
    expect(await page.getByRole('heading').innerText()).toBe('Own page of A slow start');
    await page.getByText('Waiting for the application to respond.').waitFor();
    await endWait(idOf(page), own.namespace);
    await page
      .getByRole('heading', { name: 'Own page of A slow start' })
      .waitFor({ state: 'detached' });
    await page.context().close();
  } finally {
    await own.stop();
    await rm(file);
  }
});
