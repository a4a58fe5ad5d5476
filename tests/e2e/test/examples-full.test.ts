import { expect } from 'vitest';
import { useExample } from './use-example.ts';

// The applications of examples/ with large images or long starts, each used in both address forms.

useExample('vite', async ({ page, url, exec }) => {
  const edit = (from: string, to: string) =>
    exec('sed', '-i', `s/Hello from ${from}/Hello from ${to}/`, '/app/src/App.jsx');
  await page.goto(url);
  await page.click('button');
  await page.waitForSelector('text=Count 1');
  await edit('Vite', 'the editor');
  await page.waitForSelector('text=Hello from the editor');
  // A module was replaced: a reload would have lost the state.
  expect(await page.textContent('button')).toBe('Count 1');
  await edit('the editor', 'Vite');
  await page.waitForSelector('text=Hello from Vite');
});
