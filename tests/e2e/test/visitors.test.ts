import { CHROMIUM, waitFor } from '@ephemera/test-support';
import axe from 'axe-core';
import type { AxeResults } from 'axe-core';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';

// A visitor starts an instance from the gallery, comes back to it, extends it and ends it.

const DEMO = 'image: ephemera/demo, port: 8080, stopGrace: 0s, tmpfs: { /tmp: 8m }';
const TEMPLATES = `
default: hidden
templates:
  hidden: { ${DEMO} }
  notebook:
    { ${DEMO}, title: Notebook, description: Python with data and plots., gallery: true,
      timeout: 10m, maxTimeout: 1h, visitor: { renew: 15m, end: true, expiresHeader: true } }
  short:
    { ${DEMO}, title: A short demo, gallery: true, timeout: 10m, notice: 10m }
`;

let site: Deployment;
let base: string;
let browser: Browser;

beforeAll(async () => {
  site = await deploy({
    templates: TEMPLATES,
    env: { EPHEMERA_SIGNING_KEYS: 'k'.repeat(32) },
  });
  base = site.publicUrls[0] ?? '';
  browser = await chromium.launch(CHROMIUM);
});
afterEach(() => {
  expect(pageErrors.splice(0)).toEqual([]);
});
afterAll(async () => {
  await browser.close();
  await site.stop();
});

/** Script errors and violations of the content security policy. */
const pageErrors: string[] = [];

async function openPage(context: BrowserContext): Promise<Page> {
  const page = await context.newPage();
  page.on('pageerror', (error) => pageErrors.push(error.message));
  page.on('console', (line) => {
    if (line.text().includes('Content Security Policy')) pageErrors.push(line.text());
  });
  return page;
}

/** Checks a page in both schemes, on a phone and on a wide screen. */
async function expectAccessible(page: Page): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [400, 1280, 1920]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      await page.evaluate(axe.source);
      const { passes, violations } = await page.evaluate<AxeResults>('axe.run()');
      expect(passes.length).toBeGreaterThan(5);
      const found = violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]);
      expect(found).toEqual([]);
      const overflow = await page.evaluate(
        'document.documentElement.scrollWidth - document.documentElement.clientWidth',
      );
      expect(overflow).toBe(0);
    }
  }
}

/** Waits until the application of an instance has replaced the waiting page. */
async function idOfOpened(page: Page): Promise<string> {
  await page.waitForURL(/\/demo\/[a-z][a-z0-9]{25}\//);
  await page.locator('html:not([data-step])').waitFor();
  return page.url().split('/')[4] ?? '';
}

/** Seconds of a text such as `14 min 3 s`. */
function secondsOf(text: string): number {
  const [, minutes = '0', seconds = '0'] = /(?:(\d+) min )?(\d+) s/.exec(text) ?? [];
  return Number(minutes) * 60 + Number(seconds);
}

test('from the gallery to an instance and back, by keyboard', async () => {
  const context = await browser.newContext();
  const page = await openPage(context);
  await page.goto(`${base}/demo/`);
  await expectAccessible(page);
  expect(await page.content()).not.toContain('value="hidden"');
  await page.getByRole('button', { name: 'Start Notebook' }).focus();
  await page.keyboard.press('Enter');
  const id = await idOfOpened(page);

  await page.goto(`${base}/demo/`);
  const tile = page.getByRole('listitem').filter({ hasText: 'Ends in' });
  await tile.getByText(/^\d+ min \d+ s$/).waitFor();
  const before = secondsOf(await tile.innerText());
  await waitFor('the countdown', async () => secondsOf(await tile.innerText()) < before);
  await expectAccessible(page);
  expect(await page.getByRole('status').innerText()).toBe('');

  await page.getByRole('link', { name: 'Details of Notebook' }).focus();
  await page.keyboard.press('Enter');
  await page.waitForURL(`**/demo/-/${id}/`);
  await expectAccessible(page);
  await page.getByRole('button', { name: 'Extend to 15 min' }).click();
  await page.getByText(/^1[0-4] min \d+ s$/).waitFor();

  page.on('dialog', (dialog) => void dialog.accept());
  await page.getByRole('button', { name: 'End now' }).click();
  await page.getByRole('heading', { name: 'Notebook has ended' }).waitFor();
  await expectAccessible(page);
  await page.getByRole('button', { name: 'Start another' }).click();
  expect(await idOfOpened(page)).not.toBe(id);
  await context.close();
});

test('an instance that is about to end is announced', async () => {
  const context = await browser.newContext();
  const page = await openPage(context);
  await page.goto(`${base}/demo/`);
  await page.getByRole('button', { name: 'Start A short demo' }).click();
  const id = await idOfOpened(page);
  for (const path of ['/demo/', `/demo/-/${id}/`]) {
    await page.goto(base + path);
    await page.getByRole('status').getByText('A short demo is about to end.').waitFor();
    await expectAccessible(page);
  }
  // The template lets its visitors change nothing.
  expect(await page.getByRole('button').count()).toBe(0);
  await context.close();
});

test('scripts of an instance learn nothing of the other instances of their visitor', async () => {
  const context = await browser.newContext();
  const page = await openPage(context);
  await page.goto(`${base}/demo/`);
  await page.getByRole('button', { name: 'Start Notebook' }).click();
  const id = await idOfOpened(page);
  await page.goto(`${base}/demo/`);
  await page.getByText('Your instances').waitFor();
  await page.getByRole('button', { name: 'Start A short demo' }).click();
  const other = await idOfOpened(page);
  expect(other).not.toBe(id);

  const fetched = await page.evaluate<string>(`fetch('/demo/').then((answer) => answer.text())`);
  expect(fetched).toContain('Start your own instance');
  expect(fetched).not.toContain(id);

  /** Opens a window from the instance, and returns its text as far as the instance can read it. */
  const readWindow = async (path: string, shown: string) => {
    const popup = context.waitForEvent('page');
    await page.evaluate(`globalThis.opened = open('${path}'); undefined`);
    await (await popup).getByText(shown).first().waitFor();
    return page.evaluate<string>(
      `(() => { try { return opened.document.body.textContent } catch (error) { return error.name } })()`,
    );
  };
  expect(await readWindow('/demo/', 'Your instances')).toBe('SecurityError');
  expect(await readWindow(`/demo/${other}/`, other)).toContain(other);

  const ended = await page.evaluate<number>(
    `fetch('/demo/-/${id}/end', { method: 'POST' }).then(({ status }) => status)`,
  );
  expect(ended).toBe(403);
  await context.close();
});

test('an application shows its time left with the script and has the header', async () => {
  const context = await browser.newContext();
  const page = await openPage(context);
  await page.goto(`${base}/demo/new?template=notebook`);
  const id = await idOfOpened(page);
  const answer = await page.reload();
  const deadline = Date.parse(answer?.headers()['ephemera-expires-at'] ?? '');
  expect(deadline - Date.now()).toBeGreaterThan(500_000);
  expect(deadline - Date.now()).toBeLessThan(605_000);
  await page.addScriptTag({ url: `/demo/-/${id}/countdown.js` });
  const link = page.getByRole('link', { name: /^Ends in \d+ min \d+ s$/ });
  await link.click();
  await page.getByRole('heading', { name: 'Notebook' }).waitFor();
  await context.close();
});
