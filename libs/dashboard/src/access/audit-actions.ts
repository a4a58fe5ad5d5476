import { isId } from '@ephemera/domain';
import { auditRequests, auditedText, clientAddressBehind, peerAddress } from '@ephemera/http';
import type { NamedAction } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import { LOGOUT } from '../dashboard-routes.ts';
import type { BlockList } from 'node:net';
import type { Context, Middleware } from 'koa';

/** bull-board matches its own paths case-insensitively. */
const INSTANCE = /^\/dashboard\/instances\/([a-z0-9]+)\/(end|extend|pause|resume)$/;
const LOG = /^\/dashboard\/instances\/([a-z0-9]+)\/log(?:\.txt)?$/;
const HOSTS = /^\/dashboard\/hosts\/([a-z0-9-]{1,63})\/(cordon|uncordon|drain)$/;
const QUEUES = /^\/dashboard\/queues\/api\/queues\/(.+)$/i;

/**
 * Audits every login, every change, including those to jobs and queues, and the reading of a log, once
 * however long it is followed. An entry has the
 * principal, the action, the instance, the status and the client address.
 */
export function auditActions(logger: Logger): Middleware {
  const isRead = (method: string) => method === 'GET' || method === 'HEAD';
  return auditRequests({
    logger,
    addressOf,
    nameOf: (ctx, path) =>
      isRead(ctx.method) ? logRead(path, ctx.query) : actionOf(ctx.method, path),
  });
}

/** Returns the audit name of the first request for a log. Following pages have a position. */
function logRead(path: string, query: Context['query']): NamedAction | undefined {
  const id = LOG.exec(path)?.[1];
  if (id === undefined || !isId(id) || query['after'] !== undefined) return undefined;
  return { action: 'instance.read-log', id };
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
