import { CHROMIUM } from '@ephemera/test-support';
import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TOKEN, type Deployment, deploy } from './deployment.ts';
import { TEMPLATES } from './templates.ts';

// An operator follows one instance in the dashboard from its start to its completed kill.

let site: Deployment;
let browser: Browser;

beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES, dashboard: true });
  browser = await chromium.launch(CHROMIUM);
});
afterAll(async () => {
  await browser.close();
  await site.stop();
});

test('shows the instance, its delayed kill job, and the completed kill job', async () => {
  const page = await browser.newPage();
  await page.goto(`${site.dashboardUrl}/`);
  await page.getByLabel(/token/i).fill(TOKEN);
  await page.getByRole('button', { name: /log in/i }).click();
  await page.waitForURL(/\/instances/);

  const made = await site.api('POST', '/v1/instances', { timeout: 45 }, { prefer: 'wait=30' });
  const { id, status } = (await made.json()) as { id: string; status: { state: string } };
  expect(status.state).toBe('ready');
  await page.reload();
  await page.getByRole('row').filter({ hasText: id }).waitFor();

  const kills = (state: string) =>
    `${site.dashboardUrl}/dashboard/queues/queue/${encodeURIComponent(killQueueName)}?status=${state}`;
  await page.goto(`${site.dashboardUrl}/dashboard/queues`);
  const link = page.getByRole('link', { name: /instance-kill-/ }).first();
  await link.waitFor();
  const href = (await link.getAttribute('href')) ?? '';
  const killQueueName = /instance-kill-[a-z0-9-]+/.exec(href)?.[0] ?? '';

  await page.goto(kills('delayed'));
  await page.getByText(id).first().waitFor();
  expect(await page.locator('body').innerText()).toMatch(/due/);

  await page.goto(kills('completed'));
  // bull-board polls for updates.
  await page.getByText(id).first().waitFor({ timeout: 90_000 });
  expect(await page.locator('body').innerText()).toContain(id);
  const left = (await (await site.api('GET', `/v1/instances/${id}`)).json()) as object;
  expect(left).toMatchObject({ status: { state: 'gone', reason: 'ttl' } });
  await page.close();
}, 180_000);
