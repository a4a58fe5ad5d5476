import { createHash } from 'node:crypto';
import type { Quotas } from '@ephemera/config';
import { adminRoutes, toDetail, toRenewed, toResource } from '@ephemera/contract';
import type { CreatedResource, RenewRequest, CreateRequest } from '@ephemera/contract';
import { ApiError, principalKey, checkTimeout } from '@ephemera/domain';
import type { Instance, Principal } from '@ephemera/domain';
import { route, principalOf } from '@ephemera/http';
import type { BoundRoute } from '@ephemera/http';
import { requestKill, renew } from '@ephemera/lifecycle';
import type {
  CreationContext,
  Renewal,
  Renewed,
  RenewPorts,
  RequestKillPorts,
} from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { InstanceStore, InstanceWarnings, Rates, RouteCache } from '@ephemera/store';
import { accessLink } from '../access/access-token.ts';
import { MAX_WAIT_SECONDS } from '../limits.ts';
import { countChange, countRequest } from '../starting/count-request.ts';
import { startInstance } from '../starting/start-instance.ts';
import type { Started, Starter } from '../starting/start-instance.ts';

export interface InstancesApi {
  readonly starter: Starter;
  readonly instances: Pick<InstanceStore, 'get' | 'list' | 'now'>;
  readonly warnings: Pick<InstanceWarnings, 'read'>;
  readonly killPorts: RequestKillPorts;
  readonly renewPorts: RenewPorts;
  readonly routes: Pick<RouteCache, 'waitFor'>;
  readonly rates: Rates;
  readonly logger: Logger;
}

/** `/v1/instances`: create, list, get, renew, end. */
export function instanceRoutes(api: InstancesApi): BoundRoute[] {
  const { instances, killPorts, logger } = api;

  const create = route(adminRoutes.createInstance, async (ctx, { headers, body: request }) => {
    const wait = readPreferredWait(headers.prefer ?? '');
    const key = headers['idempotency-key'];
    const { quotas } = api.starter.templates;
    const quotaSubject = principalKey(principalOf(ctx));
    await countRequest(ctx, api.rates, quotas, 'token', quotaSubject);
    const context = parseCreationContext(key, request, quotas, principalOf(ctx));
    const started = await startInstance(api.starter, request, context);
    const { kind, instance: created } = started;
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
    const instance = wait === undefined ? created : await untilSettled(api, created, wait * 1000);
    if (wait !== undefined) ctx.set('preference-applied', `wait=${wait}`);
    ctx.body = createdResource(instance, started);
    ctx.status = instance.state === 'ready' ? 201 : 202;
  });

  const list = route(adminRoutes.listInstances, async (ctx, { query }) => {
    const { items, nextCursor } = await instances.list(query);
    ctx.body = { items: items.map((item) => toResource(item)), nextCursor: nextCursor?.toString() };
  });

  const read = route(adminRoutes.readInstance, async (ctx, { params }) => {
    const instance = await known(params.id);
    ctx.body = toDetail(instance, await api.warnings.read(instance.id));
  });

  const renew = route(adminRoutes.renewInstance, async (ctx, { params, body }) => {
    await countChange(ctx, api.rates, api.starter.templates.quotas, principalKey(principalOf(ctx)));
    const instance = await known(params.id);
    const { instance: renewed, previousExpiresAt } = await renewInstance(
      api.renewPorts,
      instance,
      body,
    );
    const by = principalKey(principalOf(ctx));
    const { id, expiresAt } = renewed;
    logger.info({ id, expiresAt, previousExpiresAt, by }, 'lease renewed');
    ctx.body = toRenewed(renewed, previousExpiresAt);
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
}

/** Returns an instance once it is ready or dead. Returns its current state after the timeout. */
export async function untilSettled(
  { routes, instances }: Pick<InstancesApi, 'routes' | 'instances'>,
  created: Instance,
  timeoutMs: number,
): Promise<Instance> {
  const { id } = created;
  if (created.state === 'ready') return created;
  const isSettled = (state: string | undefined) => state !== 'pending' && state !== 'starting';
  await routes.waitFor(id, (found) => isSettled(found?.route.state), timeoutMs);
  return (await instances.get(id)) ?? created;
}

/**
 * The answer to a creation. Only this answer contains the tokens.
 * @param instance its present state
 * @throws ApiError start_failed
 */
export function createdResource(
  instance: Instance,
  { instance: { token }, accessToken }: Started,
): CreatedResource {
  const { id, reason, hint, message = 'The instance could not be started.' } = instance;
  if (reason === 'start_failed') throw new ApiError({ kind: 'start_failed', id, message, hint });
  const resource = toResource(instance, token);
  const link = accessToken === undefined ? undefined : accessLink(resource.url, accessToken);
  return { ...resource, token, accessToken, link };
}

/**
 * Seconds of a `Prefer: wait=N` (RFC 7240 section 4.3), limited; undefined without this preference.
 */
export function readPreferredWait(prefer: string): number | undefined {
  const match = /(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;|,|$)/i.exec(prefer);
  return match ? Math.min(Number(match[1]), MAX_WAIT_SECONDS) : undefined;
}

/**
 * Renews the lease of an instance for the control API.
 * @throws ApiError invalid, not_found, not_ready, gone, renewal_earlier
 */
async function renewInstance(
  ports: RenewPorts,
  instance: Instance,
  request: RenewRequest,
): Promise<Extract<Renewed, { kind: 'renewed' }>> {
  const { id } = instance;
  const renewed = await renew(ports, id, await renewalOf(ports, instance, request));
  switch (renewed.kind) {
    case 'renewed':
      return renewed;
    case 'earlier':
      throw new ApiError({ kind: 'renewal_earlier', id, expiresAt: renewed.instance.expiresAt });
    case 'starting':
      throw new ApiError({ kind: 'not_ready', id });
    case 'absent':
      throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
    case 'ended': {
      const { reason = 'ttl', message } = renewed.instance;
      throw new ApiError({ kind: 'gone', id, reason, message });
    }
  }
}

async function renewalOf(
  { now }: RenewPorts,
  { template, maxExpiresAt }: Instance,
  { timeout, expiresAt, shorten = false }: RenewRequest,
): Promise<Renewal> {
  if (expiresAt === undefined) {
    const checked = checkTimeout(timeout ?? 0, template.maxTimeout);
    if (!checked.ok) throw invalid('timeout', checked.detail);
    return { timeout: checked.timeout, shorten };
  }
  const wanted = Date.parse(expiresAt);
  if (wanted <= (await now())) throw invalid('expiresAt', 'must be in the future');
  if (wanted > maxExpiresAt) {
    const latest = new Date(maxExpiresAt).toISOString();
    const detail = `must not be after ${latest}, the maxTimeout of the template counted from creation`;
    throw invalid('expiresAt', detail);
  }
  return { expiresAt: wanted, shorten };
}

function invalid(path: string, detail: string): ApiError {
  return new ApiError({ kind: 'invalid', faults: [{ path, detail }] });
}

/**
 * Returns the quota owner of a creation through the control API, and its idempotency key.
 * @param key the Idempotency-Key header
 */
export function parseCreationContext(
  key: string | undefined,
  request: CreateRequest & { readonly name?: string },
  quotas: Quotas,
  principal: Principal,
): CreationContext {
  const quotaOwner = {
    name: principalKey(principal),
    limit: 'token',
    max: quotas.perToken,
  } as const;
  if (key === undefined) return { quotaOwner };
  return {
    quotaOwner,
    idempotency: { key: hash(`${quotaOwner.name}:${key}`), digest: hash(sorted(request)) },
  };
}

/** Serializes to JSON with sorted keys, so that the order of fields does not matter. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    item !== null && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
