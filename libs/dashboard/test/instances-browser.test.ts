import { sampleTemplate } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { findingsInBoth, openDashboardInBrowser, overflows } from './browser-fixture.ts';

const { fixture, browser } = await openDashboardInBrowser();

test('instances are filtered, selected and ended by keyboard', async () => {
  const kept = await fixture.startInstance('host-a');
  const template = sampleTemplate({ name: 'shop', timeout: 1_800_000 });
  const doomed = await fixture.startInstance('host-b', { template, timeout: 1_800_000 });
  const page = await browser.logIn();
  await page.getByLabel('Template').fill('shop');
  await page.keyboard.press('Enter');
  await page.getByText('1 instance matches.').waitFor();
  expect(await page.getByRole('row', { name: kept.id }).count()).toBe(0);

  const box = page.getByRole('checkbox', { name: `Select instance ${doomed.id}` });
  await box.focus();
  await page.keyboard.press('Space');
  // The selection outlasts a refresh of the page.
  await page.evaluate(`document.querySelector('#live').dataset.old = ''`);
  // A search refreshes itself seldom, but at once when its tab is shown again.
  await page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`);
  await page.locator('#live[data-old]').waitFor({ state: 'detached' });
  expect(await box.isChecked()).toBe(true);

  for (const width of [400, 1_280]) {
    await page.setViewportSize({ width, height: 900 });
    expect([width, await overflows(page)]).toEqual([width, false]);
    expect(await findingsInBoth(page)).toEqual([]);
  }
  const asked: string[] = [];
  page.on('dialog', (dialog) => {
    asked.push(dialog.message());
    void dialog.accept();
  });
  const selected = page.getByRole('form', { name: 'Selected instances' });
  await selected.getByRole('button', { name: 'End', exact: true }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('1 instance was changed.').waitFor();
  expect(asked).toEqual(['End the selected instances?']);
  expect(await fixture.instances.get(doomed.id)).toMatchObject({ state: 'draining' });
  expect(await fixture.instances.get(kept.id)).toMatchObject({ state: 'ready' });
  await page.context().close();
});

test('ended instances and events have pages that lead to the instance', async () => {
  const { id } = await fixture.startInstance('host-a');
  await fixture.instances.startDraining(id, 'exited', 'It exited with 1.');
  const { generation = 0 } = (await fixture.instances.get(id)) ?? {};
  await fixture.instances.finalize(id, generation);
  const page = await browser.logIn('/dashboard/ended');
  for (const name of ['Ended', 'Events']) {
    await page.getByRole('link', { name, exact: true }).click();
    await page.getByRole('link', { name: id }).first().waitFor();
    for (const width of [400, 1_280]) {
      await page.setViewportSize({ width, height: 900 });
      expect([name, width, await overflows(page)]).toEqual([name, width, false]);
      expect(await findingsInBoth(page)).toEqual([]);
    }
  }
  // New events appear without a reload.
  const later = await fixture.startInstance('host-a');
  await page.getByRole('link', { name: later.id }).first().waitFor();
  await page.getByRole('link', { name: id }).first().click();
  await page.getByText('Its container exited.').waitFor();
  await page.context().close();
});
