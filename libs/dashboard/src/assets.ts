import { readFileSync } from 'node:fs';
import { type BoundRoute, route } from '@ephemera/http';
import { ASSETS, assetRoute } from './dashboard-routes.ts';

/** The static files of the pages, each as a route. */
export function assetRoutes(): BoundRoute[] {
  return (Object.keys(ASSETS) as (keyof typeof ASSETS)[]).map((name) => {
    const body = readFileSync(new URL(`./assets/${name}`, import.meta.url));
    return route(assetRoute(name), (ctx) => {
      ctx.type = ASSETS[name];
      ctx.body = body;
    });
  });
}
