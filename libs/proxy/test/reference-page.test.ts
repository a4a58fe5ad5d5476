import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { adminRoutes } from '@ephemera/contract';
import { CHROMIUM } from '@ephemera/test-support';
import axe from 'axe-core';
import type { AxeResults } from 'axe-core';
import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { publicRoutes } from '../src/public-routes.ts';
import { type OpenPorts, openPorts } from './open-ports.ts';

let ports: OpenPorts;
let browser: Browser;
beforeAll(async () => {
  ports = await openPorts('templates: { demo: { image: ephemera/demo, port: 8080 } }');
  browser = await chromium.launch(CHROMIUM);
});
afterAll(async () => {
  await browser.close();
  await ports.stop();
});

test('the page shows every operation, styled, and requests nothing else', async () => {
  const page = await browser.newPage();
  const requested: string[] = [];
  const problems: string[] = [];
  page.on('request', (sent) => requested.push(sent.url()));
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text());
  });
  await page.goto(`${ports.adminUrl}/docs`, { waitUntil: 'networkidle' });

  const headings = await page.locator('h3').allTextContents();
  const routes = [...Object.values(adminRoutes), ...Object.values(publicRoutes('demo'))];
  expect(headings).toEqual(expect.arrayContaining(routes.map(({ summary }) => summary)));
  expect(requested).toEqual([`${ports.adminUrl}/docs`]);
  expect(problems).toEqual([]);
  // The policy admits the style by its hash.
  const layout = await page.evaluate('getComputedStyle(document.body).maxWidth');
  expect(layout).not.toBe('none');

  // Every link of the page leads somewhere in it.
  const dangling = await page.evaluate(
    `[...document.querySelectorAll('a[href^="#"]')].map((a) => a.getAttribute('href').slice(1))
      .filter((id) => document.querySelectorAll('#' + CSS.escape(id)).length !== 1)`,
  );
  expect(dangling).toEqual([]);
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<AxeResults>(
    "axe.run({ resultTypes: ['violations'] })",
  );
  expect(violations.map(({ id, nodes }) => [id, nodes[0]?.html])).toEqual([]);
  await page.close();
});

test('the page is not served under an unknown host name, and takes no other method', async () => {
  const statusOf = async (path: string, host: string, method = 'GET') => {
    const sent = request(new URL(path, ports.adminUrl), { method, headers: { host } }).end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.resume();
    return response.statusCode;
  };
  for (const path of ['/docs', '/openapi.json']) {
    expect(await statusOf(path, 'rebound.example'), path).toBe(421);
    expect(await statusOf(path, 'b.example'), path).toBe(200);
    expect(await statusOf(path, 'b.example', 'POST'), path).toBe(405);
  }
});
