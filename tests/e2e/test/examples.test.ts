import { expect } from 'vitest';
import { useExample } from './use-example.ts';

// Light applications of examples/, each used in a browser in both address forms. The others are in
// examples-full.test.ts.

useExample('nginx', async ({ page, context, url, failed }) => {
  // Without credentials, a browser that asks nobody shows an error.
  await expect(page.goto(url)).rejects.toThrow('ERR_INVALID_AUTH_CREDENTIALS');
  await context.setHTTPCredentials({ username: 'demo', password: 'demo' });
  await page.goto(url);
  expect(await page.textContent('h1')).toBe('Home');
  await page.click('text=The old address');
  await page.waitForURL(`${url}new/`);
  expect(await page.textContent('h1')).toBe('New');
  await page.click('text=Home');
  await page.waitForURL(url);
  // nginx adds the slash by a redirect of its own.
  await page.click('text=A folder without a slash');
  await page.waitForURL(`${url}new/`);
  expect(failed.filter((line) => !line.startsWith('401 '))).toEqual([]);
  failed.length = 0;
});

useExample('flask', async ({ page, url }) => {
  await page.goto(url);
  await page.fill('[name=note]', 'buy milk');
  await page.click('text=Add');
  await page.waitForURL(url);
  expect(await page.textContent('li')).toBe('buy milk');
  await page.reload();
  expect(await page.textContent('li')).toBe('buy milk');
  await page.click('text=About');
  await page.waitForURL(`${url}about`);
  // The application knows the whole address of its visitor.
  expect(await page.textContent('p')).toBe(`${url}about`);
});

useExample('php', async ({ page, url }) => {
  await page.goto(url);
  const text = `hello at ${Date.now()}`;
  await page.fill('[name=name]', 'Ada');
  await page.fill('[name=text]', text);
  await page.click('text=Sign');
  await page.waitForURL(`${url}index.php`);
  await page.reload();
  expect(await page.textContent('ul')).toContain(`Ada: ${text}`);
});

useExample('terminal', async ({ page, url }) => {
  await page.goto(url);
  // What is typed before the shell is connected is lost.
  await page.waitForSelector('.xterm-rows >> text=/[$#]/');
  await page.click('.xterm-screen');
  await page.keyboard.type('echo $((6 * 7)) by $(id -un)\n');
  await page.waitForSelector('.xterm-rows >> text="42 by nobody"');
});
