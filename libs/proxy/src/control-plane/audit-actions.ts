import type { IncomingMessage } from 'node:http';
import type { Principal } from '@ephemera/domain';
import { isId } from '@ephemera/domain';
import { createAudit, plainPath } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import type { Middleware } from 'koa';

const ONE = /^\/v1\/instances\/([^/]+)(?:\/([a-z]+))?$/;
/** An unauthenticated client may send a long path. */
const MAX_LENGTH = 100;

/**
 * Audits every change, every read of an instance's log, and every request that was refused for its
 * token. An entry has the principal, the action, the instance, the status and the client address.
 */
export function auditActions(options: {
  readonly logger: Logger;
  readonly addressOf: (req: IncomingMessage) => string;
}): Middleware {
  const audit = createAudit(options.logger);
  return async (ctx, next) => {
    await next();
    const path = plainPath(ctx.path);
    const action = actionOf(ctx.method, path);
    const { statusCode: status } = ctx.res;
    if (action === undefined && status !== 401 && status !== 403) return;
    const { principal } = ctx.state as { principal?: Principal };
    // Without a limit, guessed tokens would fill the log.
    if (status === 429 && principal === undefined) return;
    const made = /^\/v1\/instances\/([a-z0-9]+)$/.exec(ctx.response.get('location'))?.[1];
    const id = made ?? ONE.exec(path)?.[1] ?? '';
    audit({
      by: principal?.name,
      action: action ?? `${ctx.method} ${path}`.slice(0, MAX_LENGTH),
      id: isId(id) ? id : undefined,
      status,
      address: options.addressOf(ctx.req),
    });
  };
}

/** Returns the audit name of a request; undefined for a request that only reads. */
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
