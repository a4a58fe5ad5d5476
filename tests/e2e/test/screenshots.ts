import { join } from 'node:path';
import { CHROMIUM, TOKEN, deploy, waitFor } from '@ephemera/test-support';
import { chromium } from 'playwright-core';

// `node tests/e2e/test/screenshots.ts` makes the pictures in docs/images from a real deployment.

const images = join(import.meta.dirname, '../../../docs/images');
const template = 'image: ephemera/demo, port: 8080, tmpfs: { /tmp: 8m }, timeout: 30m';
const site = await deploy({
  dashboard: true,
  templates: `
templates:
  demo: { ${template}, pool: 1 }
  workshop: { ${template} }
  slow: { ${template}, command: ['/bin/sh', '-c', 'sleep 60; exec /bin/serve'] }
`,
});
const browser = await chromium.launch(CHROMIUM);
try {
  const viewport = { width: 1200, height: 720 };
  for (const name of ['demo', 'demo', 'workshop']) {
    await site.api('POST', '/v1/instances', { template: name }, { prefer: 'wait=60' });
  }
  const slow = (await (await site.api('POST', '/v1/instances', { template: 'slow' })).json()) as {
    id: string;
  };
  await waitFor('the container', async () => {
    const answer = await site.api('GET', `/v1/instances/${slow.id}`);
    return ((await answer.json()) as { status: { state: string } }).status.state === 'starting';
  });

  const page = await browser.newPage({ viewport, colorScheme: 'light' });
  await page.goto(`${site.dashboardUrl ?? ''}/dashboard/instances`);
  await page.getByLabel('Token').fill(TOKEN);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('heading', { name: 'Instances', exact: true }).waitFor();
  await page.screenshot({ path: join(images, 'dashboard.png') });

  const visit = await browser.newPage({ viewport: { width: 900, height: 520 } });
  await visit.goto(`${site.publicUrls[0] ?? ''}/demo/${slow.id}/`, { waitUntil: 'commit' });
  await visit.locator('[role=progressbar], progress').first().waitFor();
  await visit.screenshot({ path: join(images, 'waiting-page.png') });
} finally {
  await browser.close();
  await site.stop();
}
