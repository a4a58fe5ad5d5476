import { readFileSync } from 'node:fs';
import { COLOURS, LOGO_ICON } from '@ephemera/http';
import { expect, test } from 'vitest';

test('the demo has the colours and the logo of the other pages', () => {
  const page = readFileSync(new URL('../../demo-image/www/page.html', import.meta.url), 'utf8');
  const colours = [...page.matchAll(/--([\w-]+): light-dark\((#\w+), (#\w+)\)/g)];
  expect(colours.length).toBeGreaterThan(5);
  for (const [, name = '', light, dark] of colours) {
    expect({ [name]: { light, dark } }).toEqual({ [name]: COLOURS[name as keyof typeof COLOURS] });
  }
  const [, icon] = /href="([^"]*)"/.exec(LOGO_ICON.markup) ?? [];
  expect(page).toContain(icon);
});
