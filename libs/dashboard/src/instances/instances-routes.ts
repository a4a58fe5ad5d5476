import type { ConfigIssue } from '@ephemera/config';
import { ApiError, principalKey } from '@ephemera/domain';
import { principalOf, route } from '@ephemera/http';
import type { BoundRoute } from '@ephemera/http';
import { requestKill } from '@ephemera/lifecycle';
import type { KillRequests } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { Context } from 'koa';
import { dashboardRoutes } from '../dashboard-routes.ts';
import type { HostAction } from '../dashboard-routes.ts';
import { instancesPage, readOverview } from './instances-page.ts';
import type { Notice, OverviewPorts } from './instances-page.ts';

export interface InstancesDependencies {
  readonly store: OverviewPorts;
  readonly jobs: { readonly killRequests: KillRequests };
  readonly configFile: { readonly issues: readonly ConfigIssue[] };
  readonly logger: Logger;
}

/** `/dashboard/instances`: the live instances and the hosts, with forms to end and to change them. */
export function instanceRoutes({
  store,
  jobs: { killRequests },
  configFile,
  logger,
}: InstancesDependencies): BoundRoute[] {
  const show = route(dashboardRoutes.instances, async (ctx, { query }) => {
    const overview = await readOverview(store, query.cursor);
    ctx.type = 'html';
    ctx.body = instancesPage(overview, configFile.issues, parseNotice(query));
  });

  const end = route(
    dashboardRoutes.endInstance,
    async (ctx, { params: { id }, query: { from } }) => {
      const { kind } = await requestKill({ instances: store.instances, killRequests }, id);
      logger.info({ id, kind, by: principalKey(principalOf(ctx)) }, 'kill requested');
      ctx.status = 303;
      if (from === 'instance' && kind !== 'absent') {
        ctx.redirect(`/dashboard/instances/${id}?notice=ending`);
        return;
      }
      ctx.redirect(`/dashboard/instances?${kind === 'absent' ? 'absent' : 'ending'}=${id}`);
    },
  );

  const changeHost = async (ctx: Context, host: string, action: HostAction): Promise<void> => {
    const cordon = await store.hosts.cordonOf(host);
    // The page may be older than the change of another operator. It never ends a drain.
    const isDone = { cordon: cordon !== undefined, drain: !!cordon?.drain, uncordon: !cordon };
    if (!isDone[action]) {
      if (action === 'uncordon') await store.hosts.uncordon(host);
      else if (!(await startCordon(host, action))) {
        throw new ApiError({ kind: 'not_found', what: 'host of this name' });
      }
      logger.info({ host, action, by: principalKey(principalOf(ctx)) }, 'host changed');
    }
    ctx.status = 303;
    ctx.redirect(`/dashboard/instances?${isDone[action] ? 'unchanged' : 'host'}=${host}`);
  };
  const startCordon = (host: string, action: 'cordon' | 'drain'): Promise<boolean> =>
    action === 'drain' ? store.hosts.drain(host, undefined) : store.hosts.cordon(host);
  const hosts = (['cordon', 'drain', 'uncordon'] as const).map((action) =>
    route(dashboardRoutes[`${action}Host`], (ctx, { params }) =>
      changeHost(ctx, params.host, action),
    ),
  );
  return [show, end, ...hosts];
}

/** Parses the result of the action that redirected here. */
function parseNotice(query: {
  ending?: string | undefined;
  absent?: string | undefined;
  host?: string | undefined;
  unchanged?: string | undefined;
}) {
  const { ending, absent, host, unchanged } = query;
  if (host !== undefined) return { kind: 'host', id: host } satisfies Notice;
  if (unchanged !== undefined) return { kind: 'unchanged', id: unchanged } satisfies Notice;
  if (ending !== undefined) return { kind: 'ending', id: ending } satisfies Notice;
  if (absent !== undefined) return { kind: 'absent', id: absent } satisfies Notice;
  return undefined;
}
