import Router from '@koa/router';
import { ApiError, principalKey, isId } from '@ephemera/domain';
import { requestKill } from '@ephemera/lifecycle';
import type { KillRequests } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { Hosts, InstanceStore, Keys } from '@ephemera/store';
import type { Redis } from 'ioredis';
import { principalOf } from '../access/authenticate.ts';
import { EXACT } from '../exact-paths.ts';
import { instancesPage } from './instances-page.ts';
import type { Notice } from './instances-page.ts';
import { readOverview } from './read-overview.ts';

export interface InstancesDependencies {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly instances: InstanceStore;
  readonly hosts: Hosts;
  readonly killRequests: KillRequests;
  readonly logger: Logger;
}

/** `/instances`: what lives, and a way to end one. */
export function instancesRouter(parts: InstancesDependencies): Router {
  const router = new Router(EXACT);

  router.get('/instances', async (ctx) => {
    const asked = new URLSearchParams(ctx.querystring);
    const cursor = asked.get('cursor') ?? '';
    const overview = await readOverview(parts, /^\d{1,15}$/.test(cursor) ? Number(cursor) : 0);
    ctx.type = 'html';
    ctx.body = instancesPage(overview, parseNotice(asked));
  });

  router.post('/instances/:id/end', async (ctx) => {
    const { id = '' } = ctx.params;
    if (!isId(id)) throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
    const { kind } = await requestKill(parts, id);
    parts.logger.info({ id, kind, by: principalKey(principalOf(ctx)) }, 'kill requested');
    ctx.status = 303;
    ctx.redirect(`/instances?${kind === 'absent' ? 'absent' : 'ending'}=${id}`);
  });
  return router;
}

/** What became of the button that led here; anybody can write a link, so ids are checked. */
function parseNotice(asked: URLSearchParams): Notice | undefined {
  for (const kind of ['ending', 'absent'] as const) {
    const id = asked.get(kind);
    if (id !== null && isId(id)) return { kind, id };
  }
  return undefined;
}
