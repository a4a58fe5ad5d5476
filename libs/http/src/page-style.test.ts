import { expect, test } from 'vitest';
import { COLOURS, inlineLogo, LOGO_ICON, PAGE_STYLE } from './page-style.ts';

/** Relative luminance of `#rrggbb` (WCAG 2.2). */
function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(first: string, second: string): number {
  const [dark = 0, light = 0] = [luminance(first), luminance(second)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

const SCHEMES = ['light', 'dark'] as const;

test.each(SCHEMES)('text is readable on %s pages, cards and buttons', (scheme) => {
  for (const name of ['text', 'soft', 'glow', 'good', 'wait', 'bad', 'idle'] as const) {
    for (const ground of ['page', 'card'] as const) {
      const ratio = contrast(COLOURS[name][scheme], COLOURS[ground][scheme]);
      expect(ratio, `${name} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    }
  }
  expect(contrast(COLOURS['on-glow'][scheme], COLOURS.glow[scheme])).toBeGreaterThanOrEqual(4.5);
});

test('style and logo load nothing', () => {
  expect(PAGE_STYLE + inlineLogo(40).markup).not.toMatch(/https?:|url\(|@import|src=/);
  expect(LOGO_ICON.markup).toContain('href="data:image/svg+xml,%3Csvg');
});
