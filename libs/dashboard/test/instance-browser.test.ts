import type { HostReply, HostRequest, LogLine } from '@ephemera/lifecycle';
import { waitFor } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { findingsInBoth, openDashboardInBrowser, overflows } from './browser-fixture.ts';
import { host } from './fixture.ts';

const { fixture, browser } = await openDashboardInBrowser();

/** A host with one container: its log grows as the test says, and it uses one CPU. */
function container() {
  const lines: LogLine[] = [];
  let cpuSeconds = 0;
  const reply = (request: HostRequest): HostReply<unknown> => {
    if (request.op === 'logs') {
      const { after } = request;
      const from = after ? lines.findIndex(({ time }) => time === after.time) + after.count : 0;
      return { kind: 'done', value: { lines: lines.slice(from), more: false } };
    }
    if (request.op !== 'stats') return { kind: 'done', value: null };
    const readAt = new Date().toISOString();
    cpuSeconds += 1;
    const memory = { used: 48 * 1024 ** 2, limit: 64 * 1024 ** 2 };
    const network = { received: cpuSeconds * 2_048, sent: cpuSeconds * 1_024 };
    return { kind: 'done', value: { readAt, cpuSeconds, memory, pids: 3, network } };
  };
  const print = (text: string, stream: LogLine['stream'] = 'stdout') => {
    const time = `2030-01-01T00:00:00.${String(lines.length).padStart(9, '0')}Z`;
    lines.push({ time, stream, text: `${text}\n` });
  };
  return { reply, print };
}

test('the page of an instance follows its log and its usage, and can search the log', async () => {
  const { reply, print } = container();
  host.reply = reply;
  for (let i = 0; i < 200; i++) print(`request ${i}`);
  print('<b>cannot write</b>', 'stderr');
  const { id } = await fixture.startInstance('host-a', { metadata: { branch: 'main' } });
  const page = await browser.logIn(`/dashboard/instances/${id}`);
  const log = page.getByRole('region', { name: 'Log lines' });
  await log.getByText('<b>cannot write</b>').waitFor();
  print('printed later');
  await log.getByText('printed later').waitFor();

  await page.getByLabel('Search').fill('CANNOT');
  await page.getByText('1 of 202 lines.').waitFor();
  expect(await log.getByText('request 5', { exact: true }).isVisible()).toBe(false);
  await page.getByLabel('Search').fill('');
  expect(await log.getByText('request 5', { exact: true }).isVisible()).toBe(true);

  const readings = page.locator('#usage .reading');
  await page.getByText('48.0 MiB of 64.0 MiB').waitFor();
  await readings.filter({ hasText: /received [\d.]+ K?i?B\/s sent/ }).waitFor();
  await readings.filter({ hasText: /[\d.]+ %/ }).waitFor();
  // The line is drawn: the canvas has pixels of its colour.
  const drawn = await page.evaluate(`(() => {
    const canvas = document.querySelector('#chart-memory canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value > 0);
  })()`);
  expect(drawn).toBe(true);
  // The canvas lies inside its frame.
  const [plot, canvas] = await Promise.all(
    ['#chart-memory .plot', '#chart-memory canvas'].map((name) => page.locator(name).boundingBox()),
  );
  expect(canvas?.y).toBe(plot?.y);
  expect(canvas?.height).toBe(plot?.height);

  const link = page.getByRole('link', { name: 'Download' });
  const [download] = await Promise.all([page.waitForEvent('download'), link.click()]);
  expect(download.suggestedFilename()).toBe(`${id}.log`);

  for (const width of [400, 1_280]) {
    await page.setViewportSize({ width, height: 900 });
    expect([width, await overflows(page)]).toEqual([width, false]);
    expect(await findingsInBoth(page)).toEqual([]);
  }
  await page.context().close();
});

test('a lease is extended and an instance ended by keyboard, and the countdown counts', async () => {
  host.reply = container().reply;
  const { id, expiresAt } = await fixture.startInstance('host-a');
  const page = await browser.logIn(`/dashboard/instances/${id}`);
  const timer = page.getByRole('timer');
  const first = await timer.textContent();
  await waitFor('the countdown', async () => (await timer.textContent()) !== first);
  await page.getByRole('button', { name: 'Extend by 15m' }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('The lease was extended.').waitFor();
  expect((await fixture.instances.get(id))?.expiresAt).toBe(expiresAt + 900_000);
  // A reload does not repeat the notice.
  await page.waitForURL((url) => url.search === '');

  page.on('dialog', (dialog) => void dialog.accept());
  await page.getByRole('button', { name: 'End', exact: true }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('The instance is being ended.').waitFor();
  expect(await fixture.instances.get(id)).toMatchObject({ state: 'draining' });
  await page.context().close();
});

test('a host that does not answer is named beside log and usage, and the page recovers', async () => {
  host.reply = () => undefined;
  const { id } = await fixture.startInstance('host-a');
  const page = await browser.logIn(`/dashboard/instances/${id}`);
  const usage = page.locator('#usage-notice');
  await page.locator('#log-notice').filter({ hasText: /host/i }).waitFor();
  await usage.filter({ hasText: /host/i }).waitFor();
  const { reply, print } = container();
  host.reply = reply;
  print('back again');
  await page.getByText('back again').waitFor();
  await usage.filter({ hasText: 'Read every 2 seconds' }).waitFor();
  await page.context().close();
});
