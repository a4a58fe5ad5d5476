import { CHROMIUM, waitFor } from '@ephemera/test-support';
import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { NODE_RED_IMAGE, buildNodeRedImage } from './node-red-image.ts';

// Node-RED, an existing application whose editor needs its WebSocket: it displays the debug
// messages of a running flow.

let site: Deployment;
let browser: Browser;

beforeAll(async () => {
  await buildNodeRedImage();
  site = await deploy({
    templates: `
templates:
  node-red:
    image: ${NODE_RED_IMAGE}
    port: 1880
    timeout: 5m
    ready: { http: /, within: 60s }
    limits: { memory: 512m, cpus: 2, pids: 128 }
    readOnly: true
    user: '65534'
    tmpfs: { /tmp: 64m }
`,
  });
  browser = await chromium.launch(CHROMIUM);
}, 300_000);
afterAll(async () => {
  await browser.close();
  await site.stop();
});

test('the editor of Node-RED works below the path of its instance', async () => {
  const page = await browser.newPage();
  const failed: string[] = [];
  let networkChanges = 0;
  page.on('response', (answer) => {
    if (answer.status() >= 400) failed.push(`${answer.status()} ${answer.url()}`);
  });
  page.on('requestfailed', (request) => {
    // A second after the start of any container, the host end of its veth pair gets an IPv6
    // address. Chromium then aborts its requests in flight.
    if (request.failure()?.errorText === 'net::ERR_NETWORK_CHANGED') networkChanges++;
  });
  const frames: string[] = [];
  page.on('websocket', (socket) => {
    socket.on('framereceived', ({ payload }) => frames.push(String(payload)));
  });

  await page.goto(`${site.publicUrls[0]}/demo/new`);
  const editor = () => page.waitForSelector('#red-ui-header-button-deploy', { timeout: 30_000 });
  for (let seen = -1; seen < networkChanges;) {
    if (seen >= 0) await page.reload();
    seen = networkChanges;
    if (await editor().catch(() => undefined)) break;
  }
  expect(await page.isVisible('#red-ui-header-button-deploy')).toBe(true);
  const base = page.url();
  expect(base).toMatch(/\/demo\/[a-z0-9]{26}\/(#.*)?$/);

  const said = 'carried over a WebSocket';
  const flows = [
    { id: 'tab', type: 'tab', label: 'test' },
    {
      id: 'in',
      type: 'inject',
      z: 'tab',
      // Repeated, because the editor may subscribe after the first message.
      repeat: '1',
      payload: said,
      payloadType: 'str',
      props: [{ p: 'payload' }],
      wires: [['out']],
    },
    {
      id: 'out',
      type: 'debug',
      z: 'tab',
      active: true,
      tosidebar: true,
      complete: 'payload',
      wires: [],
    },
  ];
  const deployed = await fetch(new URL('flows', base), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(flows),
  });
  expect(deployed.status).toBe(204);
  await waitFor('the message of the flow', () => frames.some((frame) => frame.includes(said)));
  expect(failed).toEqual([]);
  await page.close();
}, 180_000);
