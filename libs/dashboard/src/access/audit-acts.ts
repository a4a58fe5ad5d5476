import { isId } from '@ephemera/domain';
import type { Principal } from '@ephemera/domain';
import { createAudit, originAddress, peerAddress, plainPath } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import { LOGOUT } from './login-target.ts';
import type { BlockList } from 'node:net';
import type { Context, Middleware } from 'koa';

/** A path that a stranger made up may be long. */
const LONGEST = 100;
/** bull-board takes its own paths in capitals too. */
const QUEUES = /^\/queues\/api\/queues\/(.+)$/i;

/**
 * Tells of every login and of every change that is asked for, those to jobs and queues too; with
 * who, what, to which instance, how it ended and from where.
 */
export function auditActs(logger: Logger): Middleware {
  const tell = createAudit(logger);
  return async (ctx, next) => {
    await next();
    if (ctx.method === 'GET' || ctx.method === 'HEAD') return;
    const { principal } = ctx.state as { principal?: Principal };
    const address = addressOf(ctx);
    const act = actOf(ctx.method, plainPath(ctx.path));
    tell({ by: principal?.name, ...act, status: ctx.status, address });
  };
}

/** Notes from where each request comes, behind whatever is trusted. */
export function noteAddress(trusted: BlockList): Middleware {
  return async (ctx, next) => {
    const peer = peerAddress(ctx.req.socket.remoteAddress);
    ctx.state['address'] = originAddress(peer, ctx.req.headers['x-forwarded-for'], trusted);
    await next();
  };
}

/** From where a request comes, behind `noteAddress`. */
export function addressOf(ctx: Pick<Context, 'state'>): string {
  return (ctx.state as { readonly address: string }).address;
}

export interface NamedAct {
  readonly act: string;
  readonly id?: string;
  readonly queue?: string;
  readonly job?: string;
}

/** What a request is called in the log, and what it is about. */
export function actOf(method: string, path: string): NamedAct {
  if (path === '/login') return { act: 'login' };
  if (path === LOGOUT) return { act: 'logout' };
  const id = /^\/instances\/([a-z0-9]+)\/end$/.exec(path)?.[1] ?? '';
  if (isId(id)) return { act: 'instance.end', id };
  const queues = QUEUES.exec(path)?.[1];
  if (queues !== undefined) return queueAct(queues.split('/'));
  return { act: `${method} ${path}`.slice(0, LONGEST) };
}

/** `pause`, `{queue}/pause`, `{queue}/clean/{status}`, `{queue}/{job}/promote` */
function queueAct([queue = '', middle = '', last]: readonly string[]): NamedAct {
  const short = (text: string) => text.slice(0, LONGEST);
  const verb = (text: string) => short(text).toLowerCase();
  if (middle === '') return { act: `queue.${verb(queue)}` };
  if (last === undefined || /^(?:clean|retry)$/i.test(middle)) {
    return { act: `queue.${verb(middle)}`, queue: short(queue) };
  }
  // A job of an instance is named for it and its generation.
  const id = middle.slice(0, middle.lastIndexOf('-'));
  const about = { queue: short(queue), job: short(middle) };
  return { act: `job.${verb(last)}`, ...(isId(id) && { id }), ...about };
}
