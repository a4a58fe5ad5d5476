import { isId } from '@ephemera/domain';
import { auditRequests, auditedText, clientAddressBehind, peerAddress } from '@ephemera/http';
import type { NamedAction } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import { LOGOUT } from '../dashboard-routes.ts';
import type { Principal } from '@ephemera/domain';
import type { BlockList } from 'node:net';
import type { Context, Middleware } from 'koa';
import { createLogReads } from './log-reads.ts';

/** bull-board matches its own paths case-insensitively. */
const INSTANCE = /^\/dashboard\/instances\/([a-z0-9]+)\/(end|extend|pause|resume)$/;
const LOG = /^\/dashboard\/instances\/([a-z0-9]+)\/log(\.txt)?$/;
const HOSTS = /^\/dashboard\/hosts\/([a-z0-9-]{1,63})\/(cordon|uncordon|drain)$/;
const QUEUES = /^\/dashboard\/queues\/api\/queues\/(.+)$/i;

/**
 * Audits every login, every change, including those to jobs and queues, and the reading of logs: every
 * download, and of a log that is followed one request in ten minutes. An entry has the principal, the
 * action, the instance, the status and the client address.
 */
export function auditActions(logger: Logger): Middleware {
  const isRead = (method: string) => method === 'GET' || method === 'HEAD';
  const logReads = createLogReads(() => performance.now());

  const logRead = (ctx: Context, path: string): NamedAction | undefined => {
    const [, id = '', isDownload] = LOG.exec(path) ?? [];
    if (!isId(id)) return undefined;
    const { principal } = ctx.state as { principal?: Principal };
    const by = principal?.name;
    const read = { by, address: addressOf(ctx), id, status: ctx.res.statusCode };
    if (isDownload === undefined && !logReads.isFirst(read)) return undefined;
    return { action: 'instance.read-log', id };
  };

  return auditRequests({
    logger,
    addressOf,
    nameOf: (ctx, path) =>
      notedAction(ctx) ?? (isRead(ctx.method) ? logRead(ctx, path) : actionOf(ctx.method, path)),
  });
}

/** Names the action of a request where its path does not have the affected instances. */
export function noteAction(ctx: Pick<Context, 'state'>, action: NamedAction): void {
  ctx.state['auditedAction'] = action;
}

function notedAction(ctx: Pick<Context, 'state'>): NamedAction | undefined {
  return (ctx.state as { readonly auditedAction?: NamedAction }).auditedAction;
}

/** Stores the client address of each request, behind trusted proxies. */
export function noteAddress(trusted: BlockList): Middleware {
  return async (ctx, next) => {
    const peer = peerAddress(ctx.req.socket.remoteAddress);
    ctx.state['address'] = clientAddressBehind(peer, ctx.req.headers['x-forwarded-for'], trusted);
    await next();
  };
}

/** Returns the client address. Requires `noteAddress` before it. */
export function addressOf(ctx: Pick<Context, 'state'>): string {
  return (ctx.state as { readonly address: string }).address;
}

/** Returns the audit name of a request, and its object. */
export function actionOf(method: string, path: string): NamedAction {
  if (path === '/dashboard/login') return { action: 'login' };
  if (path === LOGOUT) return { action: 'logout' };
  const [, id = '', verb = ''] = INSTANCE.exec(path) ?? [];
  if (isId(id)) return { action: `instance.${verb === 'extend' ? 'renew' : verb}`, id };
  if (path === '/dashboard/instances') return { action: 'instance.change-selected' };
  const [, host, change] = HOSTS.exec(path) ?? [];
  if (host !== undefined) return { action: `host.${change}`, host };
  const queues = QUEUES.exec(path)?.[1];
  if (queues !== undefined) return queueAction(queues.split('/'));
  return { action: auditedText(`${method} ${path}`) };
}

/** `pause`, `{queue}/pause`, `{queue}/clean/{status}`, `{queue}/{job}/promote` */
function queueAction([queue = '', middle = '', last]: readonly string[]): NamedAction {
  const verb = (text: string) => auditedText(text).toLowerCase();
  if (middle === '') return { action: `queue.${verb(queue)}` };
  if (last === undefined || /^(?:clean|retry)$/i.test(middle)) {
    return { action: `queue.${verb(middle)}`, queue: auditedText(queue) };
  }
  // The id of a kill job is the instance's id and generation.
  const id = middle.slice(0, middle.lastIndexOf('-'));
  const about = { queue: auditedText(queue), job: auditedText(middle) };
  return { action: `job.${verb(last)}`, ...(isId(id) && { id }), ...about };
}
