import { CHROMIUM } from '@ephemera/test-support';
import axe from 'axe-core';
import type { AxeResults } from 'axe-core';
import { chromium } from 'playwright-core';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, expect } from 'vitest';
import { TOKEN, openDashboard } from './fixture.ts';
import type { Fixture } from './fixture.ts';

/** A real browser for the pages of a dashboard. */
interface BrowserFixture {
  openPage(): Promise<Page>;
  /** Logs in, and opens a page of the dashboard. */
  logIn(at?: string, token?: string): Promise<Page>;
  /** Script errors and violations of the content policy since the last call. */
  complaints(): string[];
  close(): Promise<void>;
}

async function openBrowser(url: string): Promise<BrowserFixture> {
  const browser = await chromium.launch(CHROMIUM);
  const complaints: string[] = [];
  const openPage = async (): Promise<Page> => {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (line) => {
      const text = line.text();
      // bull-board asks for a web font, which the policy refuses.
      const isFont = text.includes('https://fonts.googleapis.com');
      if (text.includes('Content Security Policy') && !isFont) complaints.push(text);
    });
    return page;
  };
  return {
    openPage,
    async logIn(at = '/', token = TOKEN) {
      const page = await openPage();
      await page.goto(`${url}${at}`);
      await page.getByLabel('Token').fill(token);
      await page.getByRole('button', { name: 'Log in' }).click();
      await page.waitForURL(({ pathname }) => pathname !== '/dashboard/login');
      return page;
    },
    complaints: () => complaints.splice(0),
    close: () => browser.close(),
  };
}

/** Returns the axe violations of a page, in its present colours. */
export async function findings(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { passes, violations } = await page.evaluate<AxeResults>('axe.run()');
  expect(passes.length).toBeGreaterThan(5);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`);
}

/** Returns the axe violations of a page in light and dark colours. */
export async function findingsInBoth(page: Page): Promise<string[]> {
  const found: string[] = [];
  for (const colorScheme of ['dark', 'light'] as const) {
    await page.emulateMedia({ colorScheme });
    found.push(...(await findings(page)).map((text) => `${colorScheme}: ${text}`));
  }
  return found;
}

/** Whether the page is wider than its window. */
export function overflows(page: Page): Promise<boolean> {
  return page.evaluate('document.documentElement.scrollWidth > innerWidth');
}

/**
 * A dashboard and a browser for all tests of the calling file. No page may have complained in its console
 * at the end of a test.
 */
export async function openDashboardInBrowser(): Promise<{
  fixture: Fixture;
  browser: BrowserFixture;
}> {
  const fixture = await openDashboard();
  const browser = await openBrowser(fixture.url);
  afterEach(() => {
    expect(browser.complaints()).toEqual([]);
  });
  afterAll(async () => {
    await browser.close();
    await fixture.stop();
  });
  return { fixture, browser };
}
