import { parseTemplates } from '@ephemera/config';
import { createDeliveries } from '@ephemera/queue';
import { sampleTemplate, waitFor } from '@ephemera/test-support';
import { Worker } from 'bullmq';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { findingsInBoth, openDashboardInBrowser, overflows } from './browser-fixture.ts';
import { BEARER, HTML, configFile } from './fixture.ts';

const FILE = `
default: shop
templates:
  shop:
    image: shop:1
    port: 8080
    title: <b>The shop</b>
    description: A shop with goods.
    maxInstances: 5
    pool: 2
    env: { DATABASE_PASSWORD: hidden-in-the-file }
  notebook:
    image: notebook:1
    ports: { web: 80, api: 81 }
    onTimeout: pause
    maxTimeout: 2h
    egress: true
webhooks:
  - name: tickets
    url: https://user:hidden-password@hooks.example:8443/hidden-path?key=hidden-key
    secret: hidden-secret-of-at-least-24-bytes
    events: [gone, failed]
`;

const { fixture, browser } = await openDashboardInBrowser();
beforeEach(async () => {
  await fixture.redis.flushall();
  configFile.current = parseTemplates(FILE);
});
afterAll(() => {
  configFile.current = undefined;
});

const show = async (): Promise<string> => {
  const response = await fetch(`${fixture.url}/dashboard/templates`, {
    headers: { ...BEARER, ...HTML },
  });
  expect(response.status).toBe(200);
  return (await response.text()).replace(/\s+/g, ' ');
};
const fact = (text: string, name: string) =>
  [...text.matchAll(new RegExp(`<dt>${name}</dt> <dd>(.*?)</dd>`, 'g'))].map(([, value]) => value);

test('each template has its configuration and its use', async () => {
  await fixture.startInstance('host-a', { template: sampleTemplate({ name: 'shop' }) });
  const text = await show();
  expect(text).toContain('&lt;b&gt;The shop&lt;/b&gt;');
  expect(text).toContain('A shop with goods.');
  expect(fact(text, 'Live')).toEqual(['1 of 5', '0']);
  expect(fact(text, 'Pool')).toEqual(['0 warm of 2']);
  expect(fact(text, 'Image')).toEqual(['<code>shop:1</code>', '<code>notebook:1</code>']);
  expect(fact(text, 'Ports')).toEqual(['web (8080)', 'web (80), api (81)']);
  expect(fact(text, 'At the deadline')).toEqual(['ended', 'paused']);
  expect(fact(text, 'Egress')).toEqual(['none', 'allowed']);
  expect(text).not.toContain('hidden');
});

test('a changed file shows at the next request, and its absence says so', async () => {
  configFile.current = parseTemplates('templates: { other: { image: "other:1", port: 80 } }');
  expect(fact(await show(), 'Image')).toEqual(['<code>other:1</code>']);
  configFile.current = undefined;
  expect(await show()).toContain('The dashboard has found no configuration file.');
});

test('a failure shows at its template with its hint, and leads to the instance', async () => {
  const template = sampleTemplate({ name: 'notebook' });
  const { id } = await fixture.startInstance('host-a', { template });
  await fixture.instances.startDraining(id, 'oom', 'Out of memory.', {
    code: 'out_of_memory',
    text: 'It needs more memory.',
    cure: 'limits: {memory: 1g}',
  });
  const { generation = 0 } = (await fixture.instances.get(id)) ?? {};
  await fixture.instances.finalize(id, generation);
  const page = await browser.logIn('/dashboard/templates');
  const card = page.getByRole('region', { name: 'notebook', exact: true });
  await card.getByText('It needs more memory.').waitFor();
  await card.getByRole('link', { name: id }).click();
  await page.getByRole('heading', { name: id }).waitFor();
  await page.context().close();
});

test('a webhook shows its receiver without secrets, and the deliveries that fail', async () => {
  await fixture.startInstance('host-a');
  const { items } = await fixture.instances.latestEvents({ limit: 1 });
  const event = items[0];
  if (!event) throw new Error('no event');
  const deliveries = createDeliveries(fixture.redis, fixture.queuePrefix);
  await deliveries.add([{ webhook: 'tickets', event: { ...event, type: 'gone' } }]);
  const connection = fixture.redis.duplicate({ maxRetriesPerRequest: null });
  const worker = new Worker('webhook', () => Promise.reject(new Error('answered <500>')), {
    connection,
    prefix: fixture.queuePrefix,
  });
  await waitFor('a retry', async () => (await show()).includes('1 to be tried again'));
  await worker.close();
  await deliveries.close();
  connection.disconnect();

  const text = await show();
  expect(fact(text, 'Receiver')).toEqual(['<code>https://hooks.example:8443</code>']);
  expect(text).toContain('1 attempts: answered &lt;500&gt;');
  expect(text).not.toContain('hidden');

  const page = await browser.logIn('/dashboard/instances');
  await page.getByRole('link', { name: 'Templates', exact: true }).click();
  await page.getByRole('region', { name: 'tickets' }).waitFor();
  for (const width of [400, 1_280, 1_920]) {
    await page.setViewportSize({ width, height: 900 });
    expect([width, await overflows(page)]).toEqual([width, false]);
    expect(await findingsInBoth(page)).toEqual([]);
  }
  await page.getByRole('link', { name: 'gone', exact: true }).click();
  // The page of its job in bull-board.
  await page
    .getByText(/tickets · gone/)
    .first()
    .waitFor();
  await page.context().close();
});
