import type { IncomingMessage } from 'node:http';
import type { Principal } from '@ephemera/domain';
import { isId } from '@ephemera/domain';
import { createAudit, plainPath } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import type { Middleware } from 'koa';

const ONE = /^\/v1\/instances\/([^/]+)(?:\/([a-z]+))?$/;
/** A path that a stranger made up may be long. */
const MAX_LENGTH = 100;

/**
 * Tells of every change that is asked for, of every look into an instance's log, and of whoever
 * shows no token that counts; with who, what, to which instance, how it ended and from where.
 */
export function auditActions(options: {
  readonly logger: Logger;
  readonly addressOf: (req: IncomingMessage) => string;
}): Middleware {
  const reportProgress = createAudit(options.logger);
  return async (ctx, next) => {
    await next();
    const path = plainPath(ctx.path);
    const action = actionOf(ctx.method, path);
    const { statusCode: status } = ctx.res;
    if (action === undefined && status !== 401 && status !== 403) return;
    const { principal } = ctx.state as { principal?: Principal };
    // Guesses beyond the limit would fill the log.
    if (status === 429 && principal === undefined) return;
    const made = /^\/v1\/instances\/([a-z0-9]+)$/.exec(ctx.response.get('location'))?.[1];
    const id = made ?? ONE.exec(path)?.[1] ?? '';
    reportProgress({
      by: principal?.name,
      action: action ?? `${ctx.method} ${path}`.slice(0, MAX_LENGTH),
      id: isId(id) ? id : undefined,
      status,
      address: options.addressOf(ctx.req),
    });
  };
}

/** What a request is called in the log; undefined for one that only looks. */
export function actionOf(method: string, path: string): string | undefined {
  const [, id, verb] = ONE.exec(path) ?? [];
  if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') {
    return verb === 'logs' ? 'instance.read-log' : undefined;
  }
  if (path === '/v1/instances' && method === 'POST') return 'instance.create';
  if (path === '/v1/instances' && method === 'DELETE') return 'instance.end-all';
  if (path === '/v1/links' && method === 'POST') return 'link.create';
  if (id !== undefined && verb === undefined && method === 'DELETE') return 'instance.end';
  if (verb !== undefined && method === 'POST') return `instance.${verb}`;
  return `${method} ${path}`.slice(0, MAX_LENGTH);
}
