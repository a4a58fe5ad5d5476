import { readFileSync } from 'node:fs';
import { type BoundRoute, CARD_STYLE, LOGO_SVG, PAGE_STYLE, route } from '@ephemera/http';
import { ASSETS, assetRoute } from './dashboard-routes.ts';

/** The URLs of files of packages. All others are in `assets`. */
const PACKAGED: Partial<Record<keyof typeof ASSETS, string>> = {
  'uplot.js': import.meta.resolve('uplot/dist/uPlot.esm.js'),
  'uplot.css': import.meta.resolve('uplot/dist/uPlot.min.css'),
};

/** The static files of the pages, each as a route. */
export function assetRoutes(): BoundRoute[] {
  return (Object.keys(ASSETS) as (keyof typeof ASSETS)[]).map((name) => {
    const body = contentOf(name);
    return route(assetRoute(name), (ctx) => {
      ctx.type = ASSETS[name];
      ctx.body = body;
    });
  });
}

/** The colours, the typeface and the logo are those of every page of the product. */
function contentOf(name: keyof typeof ASSETS): string {
  if (name === 'ring.svg') return LOGO_SVG;
  const file = PACKAGED[name] ?? `./assets/${name}`;
  const text = readFileSync(new URL(file, import.meta.url), 'utf8');
  return name === 'style.css' ? PAGE_STYLE + CARD_STYLE + text : text;
}
