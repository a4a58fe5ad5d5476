import { adminRoutes, toNameResource } from '@ephemera/contract';
import { ApiError, allows, principalKey } from '@ephemera/domain';
import type { Instance, Name, Principal } from '@ephemera/domain';
import { hostNameOf, principalOf, route } from '@ephemera/http';
import type { BoundRoute } from '@ephemera/http';
import { requestKill } from '@ephemera/lifecycle';
import type { NameRequest } from '@ephemera/lifecycle';
import type { Names } from '@ephemera/store';
import { countChange, countRequest } from '../starting/count-request.ts';
import { chosenTemplate, startInstance } from '../starting/start-instance.ts';
import { type RestartRequest, writeRestart } from '../starting/start-on-visit.ts';
import type { CertificateCheck } from './certificate-check.ts';
import {
  createdResource,
  parseCreationContext,
  readPreferredWait,
  untilSettled,
} from './instances-api.ts';
import type { InstancesApi } from './instances-api.ts';

export interface NamesApi extends Pick<
  InstancesApi,
  'starter' | 'instances' | 'killPorts' | 'routes' | 'rates' | 'logger'
> {
  readonly stableNames: Names;
  /** How visitors reach the public port. */
  readonly visitors: { readonly url: string };
  /** The domain of the host form. */
  readonly certificates: Pick<CertificateCheck, 'domain'>;
}

/**
 * `/v1/names`: stable names. A token of scope `create` may create names, and change those that it has
 * created. A change by another token is refused in the step that would make it.
 */
export function nameApiRoutes(api: NamesApi): BoundRoute[] {
  const { stableNames: names, instances, killPorts, logger } = api;

  const put = route(adminRoutes.putName, async (ctx, { params, headers, body }) => {
    const { name } = params;
    requireReachable(api, name);
    const { drain, ttl, ...request } = body;
    const principal = principalOf(ctx);
    const by = principalKey(principal);
    const { quotas } = api.starter.templates;
    await countRequest(ctx, api.rates, quotas, 'token', by);
    const wait = readPreferredWait(headers.prefer ?? '');
    const template = chosenTemplate(api.starter.templates, request.template);
    const restart =
      template.onVisit === 'start'
        ? await restartOf(api, { name, owner: by }, { ...request, template: template.name })
        : undefined;
    const wanted: NameRequest = {
      ...{ name, newOwner: by, owner: ownerRequiredOf(principal) },
      match: readTag(headers['if-match']),
      isNew: headers['if-none-match'] === '*',
      ...{ drain: drain * 1000, ttl: ttl * 1000, restart },
    };
    const key = headers['idempotency-key'];
    const context = parseCreationContext(key, { ...body, name }, quotas, principal);
    const started = await startInstance(api.starter, request, { ...context, name: wanted });
    const { kind, instance: created, superseded } = started;
    const { id } = created;
    // The end of an instance gives it a new generation; the name keeps that of its creation.
    const generation = created.supersedes ?? created.generation;
    const fields = { id, generation, template: created.template.name, by, how: kind };
    logger.info({ name, ...fields }, 'instance created for a name');
    if (superseded !== undefined) await requestKill(killPorts, superseded, 'replaced');
    const instance = wait === undefined ? created : await untilSettled(api, created, wait * 1000);
    const now = await names.get(name);
    if (kind === 'repeated') ctx.set('idempotency-replayed', 'true');
    if (wait !== undefined) ctx.set('preference-applied', `wait=${wait}`);
    const isCurrent = now?.id === id;
    const resource = createdResource(instance, started);
    // Not the generation that the name has now: that may be another client's, whose change a request
    // with this tag would overwrite.
    if (isCurrent || now?.next === id) ctx.set('etag', `"${generation}"`);
    ctx.status = instance.state === 'ready' && isCurrent ? 201 : 202;
    ctx.body = { ...resource, name, generation, isCurrent };
  });

  const list = route(adminRoutes.listNames, async (ctx, { query: { limit, cursor = '' } }) => {
    const found = await names.list({ after: cursor, limit });
    ctx.body = { items: await Promise.all(found.names.map(resourceOf)), nextCursor: found.next };
  });

  const read = route(adminRoutes.readName, async (ctx, { params }) => {
    const found = await names.get(params.name);
    if (!found) throw unknownName();
    ctx.set('etag', `"${found.generation}"`);
    ctx.body = await resourceOf(found);
  });

  const remove = route(adminRoutes.deleteName, async (ctx, { params: { name }, headers }) => {
    const principal = principalOf(ctx);
    const by = principalKey(principal);
    await countChange(ctx, api.rates, api.starter.templates.quotas, by);
    const match = readTag(headers['if-match']);
    const removed = await names.remove(name, { match, owner: ownerRequiredOf(principal) });
    switch (removed.kind) {
      case 'absent':
        throw unknownName();
      case 'foreign':
        throw new ApiError({ kind: 'forbidden', needs: 'admin' });
      case 'unmatched':
        throw new ApiError({ kind: 'precondition_failed', generation: removed.generation });
      case 'removed':
        await Promise.all(removed.ids.map((id) => requestKill(killPorts, id)));
        logger.info({ name, ids: removed.ids, by }, 'name removed');
        ctx.status = 204;
    }
  });

  return [put, list, read, remove];

  async function resourceOf(name: Name) {
    const read = (id: string | undefined): Promise<Instance | undefined> =>
      id === undefined ? Promise.resolve(undefined) : instances.get(id);
    const [current, next] = await Promise.all([read(name.id), read(name.next)]);
    return toNameResource(name, { current, next });
  }
}

/** What visits start, for the owner that the name has or gets. */
async function restartOf(
  { stableNames, starter }: Pick<NamesApi, 'stableNames' | 'starter'>,
  { name, owner }: { readonly name: string; readonly owner: string },
  request: RestartRequest,
): Promise<string> {
  // An admin changes the names of others too. The owner of a name never changes.
  const known = await stableNames.get(name);
  return writeRestart(starter.keys, { name, owner: known?.owner ?? owner }, request);
}

/**
 * @throws ApiError invalid if the host form of the name is the host of the public URL, where no visitor
 * could reach the instance
 */
function requireReachable(
  { visitors, certificates: { domain } }: Pick<NamesApi, 'visitors' | 'certificates'>,
  name: string,
): void {
  const host = hostNameOf(new URL(visitors.url).host);
  if (domain === undefined || `${name}.${hostNameOf(domain)}` !== host) return;
  const detail = `${host} is the host of EPHEMERA_PUBLIC_URL; choose another name`;
  throw new ApiError({ kind: 'invalid', faults: [{ path: 'name', detail }] });
}

function unknownName(): ApiError {
  return new ApiError({ kind: 'not_found', what: 'name like this' });
}

/** The owner that a name must have, so that this client may change it. Undefined: any. */
function ownerRequiredOf(principal: Principal): string | undefined {
  return allows(principal, 'admin') ? undefined : principalKey(principal);
}

/** The generation in an entity tag, or `*`. */
function readTag(header: string | undefined): string | undefined {
  return header?.replaceAll('"', '');
}
