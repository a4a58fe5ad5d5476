import { readFileSync } from 'node:fs';
import { type BoundRoute, CARD_STYLE, LOGO_SVG, PAGE_STYLE, route } from '@ephemera/http';
import { ASSETS, assetRoute } from './dashboard-routes.ts';

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
  const text = readFileSync(new URL(`./assets/${name}`, import.meta.url), 'utf8');
  return name === 'style.css' ? PAGE_STYLE + CARD_STYLE + text : text;
}
