import { readFileSync } from 'node:fs';
import Router from '@koa/router';
import { EXACT } from './exact-paths.ts';

const ASSETS = {
  'style.css': 'text/css',
  'live.js': 'text/javascript',
  'ring.svg': 'image/svg+xml',
};

/** The few files that the pages want; they hold nothing that is anybody's secret. */
export function assetsRouter(): Router {
  const router = new Router(EXACT);
  for (const [name, type] of Object.entries(ASSETS)) {
    const body = readFileSync(new URL(`./assets/${name}`, import.meta.url));
    router.get(`/assets/${name}`, (ctx) => {
      ctx.type = type;
      ctx.body = body;
    });
  }
  return router;
}
