import { adminRoutes, toResource } from '@ephemera/contract';
import { ApiError, principalKey } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { type BoundRoute, route } from '@ephemera/http';
import { requestKill } from '@ephemera/lifecycle';
import type { RenewPorts, RequestKillPorts } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { InstanceStore, Rates, RouteCache } from '@ephemera/store';
import { accessLink } from '../access/access-link.ts';
import { countRequest } from '../starting/count-request.ts';
import { startInstance } from '../starting/start-instance.ts';
import type { Starter } from '../starting/start-instance.ts';
import { parseCreationContext } from './parse-creation-context.ts';
import { renewInstance } from './renew-instance.ts';
import { principalOf } from '@ephemera/http';

export interface InstancesApi {
  readonly starter: Starter;
  readonly instances: InstanceStore;
  readonly killPorts: RequestKillPorts;
  readonly renewPorts: RenewPorts;
  readonly routes: RouteCache;
  readonly rates: Rates;
  readonly logger: Logger;
}

/** Maximum of `Prefer: wait`, seconds. */
const MAX_WAIT_SECONDS = 300;

/** `/v1/instances`: create, list, get, renew, end. */
export function instanceRoutes(api: InstancesApi): BoundRoute[] {
  const { instances, killPorts, routes, logger } = api;

  const create = route(adminRoutes.createInstance, async (ctx, { headers, body: request }) => {
    const wait = readPreferredWait(headers.prefer ?? '');
    const key = headers['idempotency-key'];
    const { quotas } = api.starter.templates;
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
    // Only this response contains the tokens.
    const link = accessToken === undefined ? undefined : accessLink(instance.url, accessToken);
    ctx.body = { ...toResource(instance), token: created.token, accessToken, link };
  });

  const list = route(adminRoutes.listInstances, async (ctx, { query }) => {
    const { items, nextCursor } = await instances.list(query);
    ctx.body = { items: items.map(toResource), nextCursor: nextCursor?.toString() };
  });

  const read = route(adminRoutes.readInstance, async (ctx, { params }) => {
    ctx.body = toResource(await known(params.id));
  });

  const renew = route(adminRoutes.renewInstance, async (ctx, { params, body }) => {
    const instance = await known(params.id);
    const renewed = await renewInstance(api.renewPorts, instance, body);
    const by = principalKey(principalOf(ctx));
    logger.info({ id: renewed.id, expiresAt: renewed.expiresAt, by }, 'lease renewed');
    ctx.body = toResource(renewed);
  });

  const end = route(adminRoutes.endInstance, async (ctx, { params }) => {
    const instance = await known(params.id);
    const { id } = instance;
    const outcome = await requestKill(killPorts, id);
    if (outcome.kind !== 'draining') {
      throw new ApiError({ kind: 'gone', id, reason: instance.reason ?? 'request' });
    }
    logger.info({ id, by: principalKey(principalOf(ctx)) }, 'kill requested');
    ctx.status = 202;
    ctx.body = toResource(outcome.instance);
  });

  // Matched on instances, not on templates, so that instances of a removed template can be ended
  // too.
  const endMatching = route(adminRoutes.endInstances, async (ctx, { query: filter }) => {
    let ended = 0;
    let cursor: number | undefined = 0;
    while (cursor !== undefined) {
      const { items, nextCursor } = await instances.list({ ...filter, cursor, limit: 100 });
      const endings = await Promise.all(items.map(({ id }) => requestKill(killPorts, id)));
      ended += endings.filter(({ kind }) => kind === 'draining').length;
      cursor = nextCursor;
    }
    logger.info({ ended, filter, by: principalKey(principalOf(ctx)) }, 'kills requested');
    ctx.status = 202;
    ctx.body = { ended };
  });

  return [create, list, read, renew, end, endMatching];

  async function known(id: string): Promise<Instance> {
    const instance = await instances.get(id);
    if (!instance) throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
    return instance;
  }

  /** Returns the instance once it is ready or dead, or as it is after the timeout. */
  async function settled(id: string, timeoutMs: number, created: Instance): Promise<Instance> {
    const isSettled = (state: string | undefined) => state !== 'pending' && state !== 'starting';
    await routes.waitFor(id, (found) => isSettled(found?.route.state), timeoutMs);
    return (await instances.get(id)) ?? created;
  }
}

/** Seconds of a `Prefer: wait=N` (RFC 7240 section 4.3), bounded; undefined where absent. */
function readPreferredWait(prefer: string): number | undefined {
  const match = /(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|,|$)/i.exec(prefer);
  return match ? Math.min(Number(match[1]), MAX_WAIT_SECONDS) : undefined;
}
