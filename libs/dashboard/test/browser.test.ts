import { createServer } from 'node:http';
import { listen } from '@ephemera/process';
import { waitFor } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { findings, openDashboardInBrowser } from './browser-fixture.ts';
import { TOKEN } from './fixture.ts';

const { fixture, browser } = await openDashboardInBrowser();

const openPage = () => browser.openPage();
const logIn = (at?: string) => browser.logIn(at);

test('a login leads to the requested page', async () => {
  const page = await openPage();
  await page.goto(`${fixture.url}/dashboard/queues/queue/instance-spawn`);
  expect(new URL(page.url()).pathname).toBe('/dashboard/login');
  expect(await findings(page)).toEqual([]);

  await page.getByLabel('Token').fill('not the token at all');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').waitFor();
  expect(await findings(page)).toEqual([]);

  await page.getByLabel('Token').fill(TOKEN);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.waitForURL('**/dashboard/queues/queue/instance-spawn');
  await page.context().close();
});

test('a delayed kill is shown with its instance and due time, and later as completed', async () => {
  const { id, generation } = await fixture.startInstance('host-seen', { timeout: 900_000 });
  const page = await logIn('/dashboard/queues/queue/instance-kill-host-seen?status=delayed');
  await page.getByText(`kill · ${id} · due `).first().waitFor();
  expect(generation).toBeGreaterThan(0);

  const short = await fixture.startInstance('host-seen', { timeout: 1_000 });
  fixture.workKills('host-seen');
  await waitFor('the tombstone', async () => {
    return (await fixture.instances.get(short.id))?.state === 'gone';
  });
  await page.goto(`${fixture.url}/dashboard/queues/queue/instance-kill-host-seen?status=completed`);
  await page.getByText(`kill · ${short.id} · due `).first().waitFor();
  await page.context().close();
});

test('an instance is shown with its time left, and its button ends it', async () => {
  const kept = await fixture.startInstance('host-b');
  const doomed = await fixture.startInstance('host-b', { timeout: 5_400_000 });
  await fixture.draftInstance();
  const page = await logIn();
  const row = page.getByRole('row', { name: doomed.id });
  await row.getByText('1h29m').waitFor();
  expect(await row.getByRole('link', { name: 'Open' }).getAttribute('href')).toBe(doomed.url);
  expect(await findings(page)).toEqual([]);
  await page.emulateMedia({ colorScheme: 'dark' });
  expect(await findings(page)).toEqual([]);

  page.on('dialog', (dialog) => void dialog.accept());
  await row.getByRole('button').click();
  await page.getByText(`Instance ${doomed.id} is being ended.`).waitFor();
  expect(await fixture.instances.get(doomed.id)).toMatchObject({
    state: 'draining',
    reason: 'request',
  });
  expect(await fixture.instances.get(kept.id)).toMatchObject({ state: 'ready' });

  // The page refreshes itself: the row disappears when a worker has removed the container.
  fixture.workKills('host-b');
  await row.waitFor({ state: 'detached' });
  await page.context().close();
});

test('a page that cannot refresh says so, and recovers', async () => {
  await fixture.startInstance('host-c');
  const page = await logIn();
  await page.route('**/instances', (route) => route.abort());
  await page.getByText('The dashboard does not answer. The page shows old data.').waitFor();
  await page.unroute('**/instances');
  const { id } = await fixture.startInstance('host-c');
  await page.getByRole('row', { name: id }).waitFor();
  await page
    .getByText('The dashboard does not answer. The page shows old data.')
    .waitFor({ state: 'detached' });

  // The refresh can be switched off.
  await page.getByLabel('Keep up to date').uncheck();
  const asked: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`);
  expect(asked).toEqual([]);

  // A copied session must end too. The browser sends the cookie by its path.
  const copies = await page.context().cookies(`${fixture.url}/dashboard/instances`);
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.waitForURL('**/login');
  await page.goto(`${fixture.url}/dashboard/instances`);
  expect(new URL(page.url()).pathname).toBe('/dashboard/login');
  expect(copies).toHaveLength(1);
  await page.context().addCookies(copies);
  await page.goto(`${fixture.url}/dashboard/instances`);
  expect(new URL(page.url()).pathname).toBe('/dashboard/login');
  await page.context().close();
});

test('an instance on another port does not receive the session, and cannot use it', async () => {
  const received: (string | undefined)[] = [];
  const instance = createServer((req, res) => {
    received.push(req.headers.cookie);
    res.setHeader('content-type', 'text/html').end('<title>instance</title>');
  });
  const port = await listen(instance, { host: '127.0.0.1', port: 0 });
  const { id } = await fixture.startInstance('host-d');
  const page = await logIn();
  await page.goto(`http://127.0.0.1:${port}/demo/${id}/`);
  const outcome = await page.evaluate(
    async ([url, target]) => {
      const ask = (path: string, init: RequestInit) =>
        fetch(`${url}${path}`, { credentials: 'include', ...init }).then(
          () => 'read',
          () => 'refused',
        );
      await ask(`/dashboard/instances/${target}/end`, { method: 'POST', mode: 'no-cors' });
      return ask('/dashboard/instances', {});
    },
    [fixture.url, id] as const,
  );
  expect(outcome).toBe('refused');
  expect(await fixture.instances.get(id)).toMatchObject({ state: 'ready' });
  expect(received.length).toBeGreaterThan(0);
  expect(received.filter((cookie) => cookie !== undefined)).toEqual([]);
  await page.context().close();
  instance.closeAllConnections();
  instance.close();
});
