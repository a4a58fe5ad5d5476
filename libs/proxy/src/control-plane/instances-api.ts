import bodyParser from '@koa/bodyparser';
import Router from '@koa/router';
import {
  createRequestSchema,
  listQueryOf,
  listQuerySchema,
  renewRequestSchema,
  toResource,
} from '@ephemera/contract';
import { ApiError, principalKey, isId } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { requestKill } from '@ephemera/lifecycle';
import type { RenewPorts, RequestKillPorts } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { InstanceStore, Rates, RouteCache } from '@ephemera/store';
import { accessLink } from '../access/access-link.ts';
import { countRequest } from '../launch/count-request.ts';
import { startInstance } from '../launch/start-instance.ts';
import type { Starter } from '../launch/start-instance.ts';
import { EXACT } from './exact-paths.ts';
import { parse, readPreferredWait } from './parse.ts';
import { parseCreationContext } from './parse-creation-context.ts';
import { renewInstance } from './renew-instance.ts';
import { requireJson } from './require-json.ts';
import { principalOf } from './require-token.ts';

export interface InstancesApi {
  readonly starter: Starter;
  readonly instances: InstanceStore;
  readonly killPorts: RequestKillPorts;
  readonly renewPorts: RenewPorts;
  readonly routes: RouteCache;
  readonly rates: Rates;
  readonly logger: Logger;
}

/** The longest that `Prefer: wait` is honoured, seconds. */
const MAX_WAIT_SECONDS = 300;

/** `/v1/instances`: create, list, get, delete. */
export function instancesRouter(api: InstancesApi): Router {
  const { instances, killPorts, routes, logger } = api;
  const router = new Router(EXACT);
  const body = bodyParser({ enableTypes: ['json'], jsonLimit: '256kb', jsonStrict: false });

  router.post('/v1/instances', requireJson, body, async (ctx) => {
    const request = parse(createRequestSchema, ctx.request.rawBody ? ctx.request.body : {});
    const wait = readPreferredWait(ctx.get('prefer'), MAX_WAIT_SECONDS);
    const { quotas } = api.starter.templates;
    const key = ctx.req.headers['idempotency-key'];
    const quotaSubject = principalKey(principalOf(ctx));
    await countRequest(ctx, api.rates, quotas, 'token', quotaSubject);
    const context = parseCreationContext(key, request, quotas, principalOf(ctx));
    const started = await startInstance(api.starter, request, context);
    const { kind, instance: created, accessToken } = started;
    const { id, generation } = created;
    logger.info(
      {
        id,
        generation,
        template: created.template.name,
        by: quotaSubject,
        how: kind,
      },
      'instance created',
    );
    ctx.set('location', `/v1/instances/${id}`);
    if (kind === 'repeated') ctx.set('idempotency-replayed', 'true');
    const isWaitedFor = wait !== undefined && created.state !== 'ready';
    const instance = isWaitedFor ? await settled(id, wait * 1000, created) : created;
    if (wait !== undefined) ctx.set('preference-applied', `wait=${wait}`);
    if (instance.reason === 'start_failed') {
      const message = instance.message ?? 'The instance could not be started.';
      throw new ApiError({ kind: 'start_failed', id, message });
    }
    ctx.status = instance.state === 'ready' ? 201 : 202;
    // The only answer that tells them.
    const link = accessToken === undefined ? undefined : accessLink(instance.url, accessToken);
    ctx.body = { ...toResource(instance), token: created.token, accessToken, link };
  });

  router.get('/v1/instances', async (ctx) => {
    const query = parse(listQuerySchema, listQueryOf(new URLSearchParams(ctx.querystring)));
    const { items, nextCursor } = await instances.list(query);
    ctx.body = { items: items.map(toResource), nextCursor: nextCursor?.toString() };
  });

  router.get('/v1/instances/:id', async (ctx) => {
    ctx.body = toResource(await known(ctx.params['id']));
  });

  router.post('/v1/instances/:id/renew', requireJson, body, async (ctx) => {
    const instance = await known(ctx.params['id']);
    const request = parse(renewRequestSchema, ctx.request.rawBody ? ctx.request.body : {});
    const renewed = await renewInstance(api.renewPorts, instance, request);
    const by = principalKey(principalOf(ctx));
    logger.info({ id: renewed.id, expiresAt: renewed.expiresAt, by }, 'lease renewed');
    ctx.body = toResource(renewed);
  });

  router.delete('/v1/instances/:id', async (ctx) => {
    const instance = await known(ctx.params['id']);
    const { id } = instance;
    const outcome = await requestKill(killPorts, id);
    if (outcome.kind !== 'draining') {
      throw new ApiError({ kind: 'gone', id, reason: instance.reason ?? 'request' });
    }
    logger.info({ id, by: principalKey(principalOf(ctx)) }, 'kill requested');
    ctx.status = 202;
    ctx.body = toResource(outcome.instance);
  });

  router.delete('/v1/instances', async (ctx) => {
    let ended = 0;
    let cursor: number | undefined = 0;
    while (cursor !== undefined) {
      const { items, nextCursor } = await instances.list({ cursor, limit: 100 });
      const endings = await Promise.all(items.map(({ id }) => requestKill(killPorts, id)));
      ended += endings.filter(({ kind }) => kind === 'draining').length;
      cursor = nextCursor;
    }
    logger.info({ ended, by: principalKey(principalOf(ctx)) }, 'kill of all requested');
    ctx.status = 202;
    ctx.body = { ended };
  });

  return router;

  async function known(id: string | undefined): Promise<Instance> {
    const instance = id !== undefined && isId(id) ? await instances.get(id) : undefined;
    if (!instance) throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
    return instance;
  }

  /** The instance once it is ready or dead, or as it is when the time is up. */
  async function settled(id: string, timeoutMs: number, created: Instance): Promise<Instance> {
    const isSettled = (state: string | undefined) => state !== 'pending' && state !== 'starting';
    await routes.waitFor(id, (found) => isSettled(found?.route.state), timeoutMs);
    return (await instances.get(id)) ?? created;
  }
}
