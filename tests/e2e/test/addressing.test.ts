import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { CHROMIUM } from '@ephemera/test-support';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';

// Tests an instance with two ports through every address form, and access to its other ports.

const DOMAIN = 'demos.localhost';
const TEMPLATES = `
templates:
  two:
    image: ephemera/demo
    ports: { web: 8080, debug: 9229 }
    stopGrace: 0s
    limits: { memory: 64m }
    tmpfs: { /tmp: 8m }
    env: { DEBUG_PAGE: 'debug of {id}' }
    command:
      - /bin/sh
      - -c
      - |
        sleep 2
        mkdir /tmp/debug /tmp/hidden
        echo "$DEBUG_PAGE" > /tmp/debug/page
        echo hidden > /tmp/hidden/page
        httpd -p 9229 -h /tmp/debug
        httpd -p 7000 -h /tmp/hidden
        exec /bin/serve
`;

let site: Deployment;
/** A deployment with the same templates but without a domain, for the path form. */
let plain: Deployment;
let base: string;
let id: string;

beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES, env: { EPHEMERA_DOMAIN: DOMAIN } });
  base = site.publicUrls[0] ?? '';
  id = await (await fetch(`${base}/demo/new?redirect=0`)).text();
  plain = await deploy({ templates: TEMPLATES });
});
afterAll(async () => {
  await site.stop();
  await plain.stop();
});

async function ask(path: string, headers: Record<string, string> = {}, at = base) {
  const res = await new Promise<IncomingMessage>((resolve, reject) => {
    get(`${at}${path}`, { headers, agent: false }, resolve).once('error', reject);
  });
  return { status: res.statusCode, body: (await text(res)).trim() };
}
const askPath = (path: string, headers: Record<string, string> = {}) =>
  ask(path, headers, plain.publicUrls[0]);
const askHost = (label: string, path: string) => ask(path, { host: `${label}.${DOMAIN}` });

test('a path without a port uses the first port, and a path with a port uses that port', async () => {
  const own = await (await fetch(`${plain.publicUrls[0]}/demo/new?redirect=0`)).text();
  expect(await askPath(`/demo/${own}/id`)).toEqual({ status: 200, body: own });
  expect(await askPath(`/demo/${own}:8080/id`)).toEqual({ status: 200, body: own });
  expect(await askPath(`/demo/${own}:web/id`)).toEqual({ status: 200, body: own });
  const debug = { status: 200, body: `debug of ${own}` };
  expect(await askPath(`/demo/${own}:9229/page`)).toEqual(debug);
  expect(await askPath(`/demo/${own}:debug/page`)).toEqual(debug);
  expect((await askPath(`/demo/${own}:7000/page`)).status).toBe(404);
  await plain.api('DELETE', `/v1/instances/${own}`);
});

test('each port has a separate origin', async () => {
  expect(await askHost(id, '/id')).toEqual({ status: 200, body: id });
  expect(await askHost(`8080-${id}`, '/id')).toEqual({ status: 200, body: id });
  const debug = { status: 200, body: `debug of ${id}` };
  expect(await askHost(`9229-${id}`, '/page')).toEqual(debug);
  expect(await askHost(`debug-${id}`, '/page')).toEqual(debug);
});

test('a port that the template does not list answers 404 even if the container listens on it', async () => {
  for (const port of ['7000', '22', 'ssh', '09229', 'constructor']) {
    const refused = await askHost(`${port}-${id}`, '/page');
    expect(refused.status).toBe(404);
    expect(JSON.parse(refused.body)).toMatchObject({
      detail: 'There is no port with this name or number in the template.',
    });
  }
  const handshake = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
  };
  expect((await ask(`/demo/${id}:7000/page`, handshake)).status).toBe(404);
});

// Over plain HTTP, a browser sends no fetch metadata. The Origin header is all that identifies the
// page.
test('a page of an instance cannot start an instance, identified only by its Origin header', async () => {
  const post = (origin: string) =>
    fetch(`${base}/demo/new?redirect=0`, { method: 'POST', headers: { origin } });
  for (const name of [`${id}.${DOMAIN}`, `debug-${id}.${DOMAIN}`, `x.${DOMAIN}`]) {
    const answer = await post(`http://${name}`);
    expect(answer.status, name).toBe(403);
    expect(await answer.json()).toMatchObject({ type: 'urn:ephemera:problem:unintended_request' });
  }
  expect((await post(base)).status).toBe(200);
});

test('the waiting page, the redirect and the page of an ended instance work on an instance origin', async () => {
  const browser = await chromium.launch(CHROMIUM);
  try {
    const page = await browser.newPage();
    const next = await (await fetch(`${base}/demo/new?redirect=0`)).text();
    const { port } = new URL(base);
    await page.goto(`http://${next}.${DOMAIN}:${port}/`);
    expect(await page.getByRole('heading').innerText()).toBe('Starting the instance');
    await page.getByRole('status').getByText('Waiting for the application to respond.').waitFor();
    await page.locator('html:not([data-step])').waitFor();
    await page.getByText(next).first().waitFor();

    await site.api('DELETE', `/v1/instances/${next}`);
    await page.reload();
    // Over plain HTTP, a POST from this page would look like one from a page of the instance. So
    // the form uses GET.
    const asked = page.waitForRequest((request) => request.url().includes('/demo/new'));
    await page.getByRole('button', { name: 'Start another' }).click();
    expect((await asked).method()).toBe('GET');
    expect((await asked).url()).toBe(`http://localhost:${port}/demo/new?again=${next}`);
    // The redirect leads to another origin, which a form-action policy would have blocked.
    await page.waitForRequest((request) => /^http:\/\/[a-z0-9]{26}\.demos/.test(request.url()));
  } finally {
    await browser.close();
  }
});
