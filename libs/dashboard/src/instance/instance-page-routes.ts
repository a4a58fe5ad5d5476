import { Readable } from 'node:stream';
import type { ConfigIssue } from '@ephemera/config';
import { ApiError, allows, isDead, isOwner, principalKey } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { principalOf, route } from '@ephemera/http';
import type { BoundRoute } from '@ephemera/http';
import {
  followLog,
  logText,
  positionAfter,
  readLogPage,
  readUsageOf,
  renew,
  suspendInstance,
} from '@ephemera/lifecycle';
import type { HostRpc } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { Producers } from '@ephemera/queue';
import type { Store } from '@ephemera/store';
import type { Context } from 'koa';
import { EXTENSIONS, dashboardRoutes } from '../dashboard-routes.ts';
import type { INSTANCE_NOTICES } from '../dashboard-routes.ts';
import { instancePage } from './instance-page.ts';

export type InstancePageStore = Pick<Store, 'instances' | 'leases' | 'logArchive' | 'warnings'>;

export interface InstancePageDependencies {
  readonly store: InstancePageStore;
  readonly hostRpc: HostRpc;
  readonly jobs: Pick<Producers, 'killJobs' | 'killJobOf'>;
  readonly keys: { readonly namespace: string };
  readonly configFile: { readonly issues: readonly ConfigIssue[] };
  readonly logger: Logger;
}

/** A log that is not followed is read without pauses. */
const neverWait = (): Promise<void> => Promise.resolve();

/** How many of the last lines of a log the page shows first. */
const TAIL = 500;

/** `/dashboard/instances/{id}`: one instance, its log and its usage, and the forms to change it. */
export function instancePageRoutes(parts: InstancePageDependencies): BoundRoute[] {
  const { store, hostRpc, jobs, keys, configFile, logger } = parts;
  const { instances, leases, logArchive, warnings } = store;
  const logPorts = { instances, hostRpc, logArchive };

  const known = async (id: string): Promise<Instance> => {
    const found = await instances.get(id);
    if (!found) throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
    return found;
  };
  const backTo = (ctx: Context, id: string, notice: (typeof INSTANCE_NOTICES)[number]): void => {
    ctx.status = 303;
    ctx.redirect(`/dashboard/instances/${id}?notice=${notice}`);
  };

  const show = route(dashboardRoutes.instance, async (ctx, { params: { id }, query }) => {
    const instance = await known(id);
    const [now, timeline, active, killJob, noticed] = await Promise.all([
      instances.now(),
      instances.timeline(id),
      instances.routeOf(id),
      jobs.killJobOf(instance),
      warnings.read(id),
    ]);
    const principal = principalOf(ctx);
    ctx.type = 'html';
    ctx.body = instancePage(
      {
        ...{ instance, now, timeline, killJob, warnings: noticed },
        route: active,
        namespace: keys.namespace,
        mayChange: allows(principal, 'admin') || isOwner(principal, instance),
      },
      configFile.issues,
      query.notice,
    );
  });

  const readLog = route(dashboardRoutes.instanceLog, async (ctx, { params: { id }, query }) => {
    const instance = await known(id);
    const { after: time, count } = query;
    const after = time === undefined ? undefined : { time, count };
    const { lines, more } = await readLogPage(logPorts, instance, after, TAIL);
    ctx.body = {
      lines,
      more,
      next: positionAfter(after, lines),
      isOver: isDead(instance.state),
    };
  });

  const download = route(dashboardRoutes.instanceLogFile, async (ctx, { params: { id } }) => {
    await known(id);
    const closed = new AbortController();
    ctx.res.once('close', () => closed.abort());
    const pages = followLog(logPorts, id, { follow: false }, closed.signal, neverWait);
    // Read the first page before the response starts, so that an error can still set the status.
    const first = await pages.next();
    ctx.attachment(`${id}.log`);
    ctx.type = 'text/plain; charset=utf-8';
    ctx.body = Readable.from(logText(first, pages, true), { objectMode: false });
  });

  const readUsage = route(dashboardRoutes.instanceUsage, async (ctx, { params: { id } }) => {
    ctx.body = await readUsageOf({ instances, hostRpc }, await known(id));
  });

  const extend = route(dashboardRoutes.extendInstance, async (ctx, { params: { id }, body }) => {
    const { expiresAt, maxExpiresAt } = await known(id);
    const wanted = Math.min(expiresAt + EXTENSIONS[body.by], maxExpiresAt);
    const ports = { leases, killJobs: jobs.killJobs, now: () => instances.now() };
    const renewed = await renew(ports, id, { expiresAt: wanted, shorten: false });
    switch (renewed.kind) {
      case 'renewed': {
        const by = principalKey(principalOf(ctx));
        logger.info({ id, expiresAt: renewed.instance.expiresAt, by }, 'lease renewed');
        backTo(ctx, id, renewed.instance.expiresAt === maxExpiresAt ? 'maximum' : 'extended');
        return;
      }
      // Another client has extended it further meanwhile.
      case 'earlier':
        backTo(ctx, id, 'extended');
        return;
      case 'starting':
        throw new ApiError({ kind: 'not_ready', id });
      case 'ended': {
        const { reason = 'ttl', message } = renewed.instance;
        throw new ApiError({ kind: 'gone', id, reason, message });
      }
      case 'absent':
        throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
    }
  });

  const suspensions = (['pause', 'resume'] as const).map((op) =>
    route(dashboardRoutes[`${op}Instance`], async (ctx, { params: { id } }) => {
      await suspendInstance({ instances, hostRpc }, await known(id), op);
      logger.info({ id, op, by: principalKey(principalOf(ctx)) }, 'instance suspended or resumed');
      backTo(ctx, id, op === 'pause' ? 'paused' : 'resumed');
    }),
  );

  return [show, readLog, download, readUsage, extend, ...suspensions];
}
