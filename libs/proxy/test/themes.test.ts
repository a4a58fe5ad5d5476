import axe from 'axe-core';
import type { AxeResults } from 'axe-core';
import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadTheme, THEMES } from '../src/waiting/theme.ts';

let browser: Browser;

beforeAll(async () => {
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });
});
afterAll(() => browser.close());

/** Opens the page of a theme in a browser, with a stream of progress events. */
async function open(theme: (typeof THEMES)[number], stream: string, look: object = {}) {
  const context = await browser.newContext(look);
  const page = await context.newPage();
  const html = loadTheme(
    theme,
    undefined,
  )({
    template: 'a-template-with-quite-a-long-name',
    id: 'a'.repeat(26),
    step: 'pending',
    text: 'Queued at position 2 of 5.',
    percent: 5,
    nonce: 'nonce',
    events: '/demo/-/id/events',
  });
  let loads = 0;
  await page.route('**/*', (route) => {
    if (!route.request().url().endsWith('/events')) {
      loads++;
      return route.fulfill({ contentType: 'text/html', body: html });
    }
    return route.fulfill({ contentType: 'text/event-stream', body: stream });
  });
  await page.goto('http://waiting.localhost/');
  return { page, loads: () => loads };
}

const step = (input: object) => `event: step\ndata: ${JSON.stringify(input)}\n\n`;
const PULLING = step({ step: 'pulling', text: 'Pulling the image app (34 %).', percent: 34 });

test.each(THEMES.flatMap((theme) => [[theme, 'dark'] as const, [theme, 'light'] as const]))(
  '%s, %s: no axe violations, and no horizontal scrolling on a small screen',
  async (theme, colorScheme) => {
    const look = { colorScheme, viewport: { width: 320, height: 480 }, reducedMotion: 'reduce' };
    const { page } = await open(theme, PULLING, look);
    await page.getByRole('status').getByText('Pulling the image app (34 %).').waitFor();
    expect(await page.getByRole('progressbar').getAttribute('value')).toBe('34');
    await page.evaluate(axe.source);
    const { passes, violations } = await page.evaluate<AxeResults>('axe.run()');
    expect(passes.length).toBeGreaterThan(5);
    expect(violations.map(({ id }) => id)).toEqual([]);
    const root = 'document.documentElement';
    expect(await page.evaluate(`${root}.scrollWidth <= ${root}.clientWidth`)).toBe(true);
    await page.context().close();
  },
);

test('the page reloads at the end of the start', async () => {
  const { page, loads } = await open('calm', `${PULLING}event: over\ndata: {}\n\n`);
  await expect.poll(loads, { timeout: 10_000 }).toBeGreaterThan(1);
  await page.context().close();
});

test('a repeated step is not announced again', async () => {
  const { page } = await open('calm', '');
  await page.evaluate(`globalThis.changes = 0;
    new MutationObserver((seen) => { changes += seen.length })
      .observe(document.querySelector('[role=status]'), { childList: true, characterData: true, subtree: true })`);
  await page.unroute('**/*');
  await page.route('**/events', (route) =>
    route.fulfill({ contentType: 'text/event-stream', body: `retry: 50\n\n${PULLING.repeat(3)}` }),
  );
  await page.getByText('Pulling the image app (34 %).').waitFor();
  await page.waitForResponse('**/events');
  expect(await page.evaluate('changes')).toBe(1);
  await page.context().close();
});
