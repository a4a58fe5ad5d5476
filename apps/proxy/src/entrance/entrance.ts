import type { IncomingMessage } from 'node:http';
import Router from '@koa/router';
import { FailureError } from '@ephemera/domain';
import type { Logger } from '@ephemera/runtime';
import Koa from 'koa';
import { answerThrown } from '../answer-thrown.ts';
import { page } from '../failure-page.ts';
import { waitingRouter } from '../waiting/waiting-router.ts';
import type { Waiting } from '../waiting/waiting-room.ts';
import { shareOf } from './client-address.ts';
import { startInstance } from './start-instance.ts';
import type { Starter } from './start-instance.ts';

export interface Entrance {
  readonly starter: Starter;
  /** First segment of the path form. */
  readonly prefix: string;
  /** The address of the client, behind whatever is trusted. */
  readonly addressOf: (req: IncomingMessage) => string;
  readonly waiting: Waiting;
  readonly logger: Logger;
}

/**
 * The visitors' entrance, for all that is not under an id: `/{prefix}/new` starts an instance.
 * `GET` and `POST` answer 307 and 303 to the instance, or its bare id with `?redirect=0`.
 */
export function createEntrance({ starter, prefix, addressOf, waiting, logger }: Entrance): Koa {
  const app = new Koa();
  app.use(answerThrown(logger));

  const router = new Router();
  router.all(`/${prefix}/new`, async (ctx) => {
    if (ctx.method !== 'GET' && ctx.method !== 'POST') {
      throw new FailureError({ kind: 'method_not_allowed', allow: 'GET, POST' });
    }
    const template = ctx.URL.searchParams.get('template') ?? undefined;
    const owner = {
      name: `address:${shareOf(addressOf(ctx.req))}`,
      limit: 'address',
      most: starter.templates.shares.perAddress,
    } as const;
    const { kind, instance } = await startInstance(starter, { template }, { owner });
    const { id, url, generation } = instance;
    logger.info({ id, generation, template, by: 'visitor', how: kind }, 'instance created');
    ctx.set('cache-control', 'no-store');
    if (ctx.URL.searchParams.get('redirect') === '0') {
      ctx.type = 'text/plain';
      ctx.body = id;
      return;
    }
    // A path of one's own keeps the host and the scheme by which the visitor came.
    const { pathname } = new URL(url);
    ctx.status = ctx.method === 'POST' ? 303 : 307;
    ctx.set('location', pathname === '/' ? url : pathname);
    ctx.type = 'text/plain';
    ctx.body = `${url}\n`;
  });
  router.get(['/', `/${prefix}`], (ctx) => {
    ctx.type = 'html';
    // No form-action: it would hold for where the form leads, the instance's own origin, too.
    ctx.set('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'");
    ctx.body = page(
      'Start an instance',
      `<h1>Your own instance</h1>
<p>It starts when you ask for it, is reached by you alone, and is gone when its time is up.</p>
<form method="post" action="/${prefix}/new"><button>Start an instance</button></form>`,
    );
  });
  app.use(router.routes());
  app.use(waitingRouter(waiting).routes());
  return app;
}
