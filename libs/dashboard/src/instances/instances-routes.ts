import type { ConfigIssue } from '@ephemera/config';
import { ApiError, principalKey } from '@ephemera/domain';
import { principalOf, route } from '@ephemera/http';
import type { BoundRoute } from '@ephemera/http';
import { requestKill } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { Producers } from '@ephemera/queue';
import type { Store } from '@ephemera/store';
import type { Context } from 'koa';
import { noteAction } from '../access/audit-actions.ts';
import { dashboardRoutes } from '../dashboard-routes.ts';
import type { HostAction } from '../dashboard-routes.ts';
import { MAX_EVENTS_SHOWN, eventsPage } from '../events/events-page.ts';
import { endedPage, readEnded } from '../ended/ended-page.ts';
import { changeAll } from './bulk.ts';
import { filterOf } from './instances-filter.ts';
import { instancesPage, readOverview } from './instances-page.ts';
import type { Notice, OverviewPorts } from './instances-page.ts';

export interface InstancesDependencies {
  readonly store: OverviewPorts & Pick<Store, 'leases' | 'logArchive'>;
  readonly jobs: Pick<Producers, 'killRequests' | 'killJobs'>;
  readonly configFile: { readonly issues: readonly ConfigIssue[] };
  readonly logger: Logger;
}

/** `/dashboard/instances`: the live instances and the hosts, with forms to end and to change them. */
export function instanceRoutes({
  store,
  jobs: { killRequests, killJobs },
  configFile,
  logger,
}: InstancesDependencies): BoundRoute[] {
  const show = route(dashboardRoutes.instances, async (ctx, { query }) => {
    const { cursor, offset } = query;
    const filter = filterOf(query);
    const principal = principalOf(ctx);
    const overview = await readOverview(store, { cursor, offset, filter, principal });
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
    ctx.redirect(`/dashboard/instances?${isDone[action] ? 'unchanged' : 'changedHost'}=${host}`);
  };
  const startCordon = (host: string, action: 'cordon' | 'drain'): Promise<boolean> =>
    action === 'drain' ? store.hosts.drain(host, undefined) : store.hosts.cordon(host);
  const hosts = (['cordon', 'drain', 'uncordon'] as const).map((action) =>
    route(dashboardRoutes[`${action}Host`], (ctx, { params }) =>
      changeHost(ctx, params.host, action),
    ),
  );
  const changeSelected = route(dashboardRoutes.changeInstances, async (ctx, { body }) => {
    const { action, id: ids } = body;
    const { instances, leases } = store;
    const ports = {
      instances,
      kill: { instances, killRequests },
      renew: { leases, killJobs, now: () => instances.now() },
    };
    const selected = [ids].flat();
    const outcome = await changeAll(ports, principalOf(ctx), selected, action);
    const { changed, unchanged, failed, errors } = outcome;
    const name = action === 'extend' ? 'instance.renew' : 'instance.end';
    noteAction(ctx, { action: name, ids: changed, unchangedIds: unchanged, failedIds: failed });
    for (const [i, err] of errors.entries()) {
      logger.error({ id: failed[i], action, err }, 'change of a selected instance failed');
    }
    // Nothing else happened, so that the response can be that of the failure.
    if (errors.length > 0 && changed.length + unchanged.length === 0) throw errors[0];
    const query = new URLSearchParams();
    query.set('changed', String(changed.length));
    query.set('skipped', String(unchanged.length));
    for (const id of failed) query.append('failed', id);
    ctx.status = 303;
    ctx.redirect(`/dashboard/instances?${query.toString()}`);
  });

  const ended = route(dashboardRoutes.ended, async (ctx, { query }) => {
    ctx.type = 'html';
    const view = await readEnded(store, query);
    const ids = view.items.filter(({ lines }) => lines.length > 0).map((item) => item.id);
    if (ids.length > 0) noteAction(ctx, { action: 'instance.read-log', ids });
    ctx.body = endedPage(view, query, configFile.issues);
  });

  const events = route(
    dashboardRoutes.events,
    async (ctx, { query: { before, template, type } }) => {
      const types = type && [type];
      const [now, latest] = await Promise.all([
        store.instances.now(),
        store.instances.latestEvents({ before, template, types, limit: MAX_EVENTS_SHOWN }),
      ]);
      ctx.type = 'html';
      ctx.body = eventsPage(latest, now, { before, template, type }, configFile.issues);
    },
  );

  return [show, end, changeSelected, ended, events, ...hosts];
}

/** Parses the result of the action that redirected here. */
function parseNotice(query: {
  ending?: string | undefined;
  absent?: string | undefined;
  changedHost?: string | undefined;
  unchanged?: string | undefined;
  changed?: number | undefined;
  skipped?: number | undefined;
  failed?: readonly string[] | undefined;
}): Notice | undefined {
  const { ending, absent, changedHost, unchanged, changed, skipped = 0, failed = [] } = query;
  if (changed !== undefined) return { kind: 'changed', changed, skipped, failed };
  if (changedHost !== undefined) return { kind: 'host', id: changedHost };
  if (unchanged !== undefined) return { kind: 'unchanged', id: unchanged };
  if (ending !== undefined) return { kind: 'ending', id: ending };
  if (absent !== undefined) return { kind: 'absent', id: absent };
  return undefined;
}
