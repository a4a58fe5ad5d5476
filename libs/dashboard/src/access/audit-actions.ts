import { isId } from '@ephemera/domain';
import type { Principal } from '@ephemera/domain';
import { createAudit, clientAddressBehind, peerAddress, plainPath } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import { LOGOUT } from '../dashboard-routes.ts';
import type { BlockList } from 'node:net';
import type { Context, Middleware } from 'koa';

/** An unauthenticated client may send a long path. */
const MAX_LENGTH = 100;
/** bull-board matches its own paths case-insensitively. */
const QUEUES = /^\/dashboard\/queues\/api\/queues\/(.+)$/i;

/**
 * Audits every login and every change, including those to jobs and queues. An entry has the
 * principal, the action, the instance, the status and the client address.
 */
export function auditActions(logger: Logger): Middleware {
  const audit = createAudit(logger);
  return async (ctx, next) => {
    await next();
    if (ctx.method === 'GET' || ctx.method === 'HEAD') return;
    const { principal } = ctx.state as { principal?: Principal };
    const address = addressOf(ctx);
    const action = actionOf(ctx.method, plainPath(ctx.path));
    audit({ by: principal?.name, ...action, status: ctx.status, address });
  };
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

export interface NamedAction {
  readonly action: string;
  readonly id?: string;
  readonly queue?: string;
  readonly job?: string;
}

/** Returns the audit name of a request, and its object. */
export function actionOf(method: string, path: string): NamedAction {
  if (path === '/dashboard/login') return { action: 'login' };
  if (path === LOGOUT) return { action: 'logout' };
  const id = /^\/dashboard\/instances\/([a-z0-9]+)\/end$/.exec(path)?.[1] ?? '';
  if (isId(id)) return { action: 'instance.end', id };
  const queues = QUEUES.exec(path)?.[1];
  if (queues !== undefined) return queueAction(queues.split('/'));
  return { action: `${method} ${path}`.slice(0, MAX_LENGTH) };
}

/** `pause`, `{queue}/pause`, `{queue}/clean/{status}`, `{queue}/{job}/promote` */
function queueAction([queue = '', middle = '', last]: readonly string[]): NamedAction {
  const short = (text: string) => text.slice(0, MAX_LENGTH);
  const verb = (text: string) => short(text).toLowerCase();
  if (middle === '') return { action: `queue.${verb(queue)}` };
  if (last === undefined || /^(?:clean|retry)$/i.test(middle)) {
    return { action: `queue.${verb(middle)}`, queue: short(queue) };
  }
  // The id of a kill job is the instance's id and generation.
  const id = middle.slice(0, middle.lastIndexOf('-'));
  const about = { queue: short(queue), job: short(middle) };
  return { action: `job.${verb(last)}`, ...(isId(id) && { id }), ...about };
}
