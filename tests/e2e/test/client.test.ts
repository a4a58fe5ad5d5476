import { createRequire } from 'node:module';
import { createClient, isProblem } from '@ephemera/client';
import { CHROMIUM } from '@ephemera/test-support';
import { chromium } from 'playwright-core';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, TOKEN, deploy } from './deployment.ts';
import { TEMPLATES } from './templates.ts';

// The published client against a real deployment, in Node and in a browser.

let site: Deployment;
let url: string;
beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES });
  url = site.adminUrls[0] ?? '';
});
afterAll(() => site.stop());

test('an instance lives as long as its scope', async () => {
  const ephemera = createClient({ url, token: TOKEN });
  const states: string[] = [];
  let id = '';
  {
    await using instance = await ephemera.create(
      { template: 'demo', metadata: { owner: 'ada' } },
      { onProgress: ({ state }) => states.push(state) },
    );
    ({ id } = instance);
    expect(states.at(-1)).toBe('ready');
    expect((await fetch(instance.url)).status).toBe(200);

    const listed: string[] = [];
    for await (const item of ephemera.list({ metadata: { owner: 'ada' } })) listed.push(item.id);
    expect(listed).toEqual([id]);

    const { renewal } = await instance.renew({ timeout: 1, shorten: true });
    expect(renewal.outcome).toBe('shortened');
    expect((await instance.renew({ timeout: 60 })).renewal.outcome).toBe('extended');
    expect((await instance.usage()).pids).toBeGreaterThan(0);
  }
  // The whole life, from the oldest stored event.
  const types: string[] = [];
  for await (const { type } of ephemera.events({ instance: [id], lastEventId: '0' })) {
    types.push(type);
    if (type === 'gone') break;
  }
  expect(types).toEqual(
    expect.arrayContaining(['pending', 'ready', 'renewed', 'draining', 'gone']),
  );
  const { data } = await ephemera.get(id);
  expect(data.status).toMatchObject({ state: 'gone', reason: 'request' });
});

test('an error has its kind', async () => {
  const creation = createClient({ url, token: TOKEN }).create({ template: 'nowhere' });
  const error = await creation.catch((reason: unknown) => reason);
  expect(isProblem(error, 'unknown_template')).toBe(true);
  const refused = createClient({ url, token: 'wrong' }).stats();
  await expect(refused).rejects.toMatchObject({ kind: 'unauthorized', status: 401 });
});

test('the client runs in a browser, on the origin of the admin port', async () => {
  const input = createRequire(import.meta.url).resolve('@ephemera/client');
  const bundle = await rolldown({ input, platform: 'browser' });
  const { output } = await bundle.generate({ format: 'iife', name: 'Client' });
  await bundle.close();

  const browser = await chromium.launch(CHROMIUM);
  try {
    const page = await browser.newPage();
    await page.route(`${url}/page`, (route) =>
      route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>page</title>' }),
    );
    await page.goto(`${url}/page`);
    await page.addScriptTag({ content: output[0].code });
    const seen = await page.evaluate(`(async () => {
      const { createClient, isProblem } = Client;
      const ephemera = createClient({ url: location.origin, token: '${TOKEN}' });
      const instance = await ephemera.create({ template: 'demo' });
      const types = [];
      const events = instance.events({ lastEventId: '0' });
      await instance.kill();
      for await (const { type } of events) {
        types.push(type);
        if (type === 'gone') break;
      }
      const problem = await ephemera.renew(instance.id, { timeout: 60 }).catch((error) => error);
      return { types, isGone: isProblem(problem, 'gone') };
    })()`);
    expect(seen).toMatchObject({ isGone: true });
    expect((seen as { types: string[] }).types).toEqual(
      expect.arrayContaining(['pending', 'ready', 'gone']),
    );
  } finally {
    await browser.close();
  }
});
