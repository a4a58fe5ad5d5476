import type { IncomingMessage } from 'node:http';
import { ApiError, allows, isId, isName, principalKey } from '@ephemera/domain';
import type { Scope, Principal } from '@ephemera/domain';
import {
  authenticateBearer,
  principalOf,
  setPrincipal,
  auditRequests,
  auditedText,
} from '@ephemera/http';
import type { Authentication, TokenSet } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import type { InstanceStore, Names } from '@ephemera/store';
import type { Context, Middleware } from 'koa';
import { ownsInstance } from '../access/cause-access.ts';
import { TOKEN_CHECK_INTERVAL_MS } from '../limits.ts';

/**
 * Requires a valid bearer token and sets the principal of the request.
 * @throws ApiError unauthorized, rate_limited
 */
export function requireToken(
  options: Authentication & { readonly addressOf: (req: IncomingMessage) => string },
): Middleware {
  return async (ctx, next) => {
    const { authorization } = ctx.req.headers;
    const principal = await authenticateBearer(options, authorization, options.addressOf(ctx.req));
    if (!principal) throw new ApiError({ kind: 'unauthorized' });
    setPrincipal(ctx, principal);
    await next();
  };
}

/** Paths that every token may read. */
const OPEN = ['/v1/templates'];
const CREATING = ['/v1/instances', '/v1/links'];
/** The owner of a name is checked in the step that changes it. */
const NAME = /^\/v1\/names\/([^/]+)$/;
const HOST = /^\/v1\/hosts\/([^/]+)\/(cordon|uncordon|drain)$/;
const ONE = /^\/v1\/instances\/([^/]+)(?:\/([a-z]+))?$/;
const EXEC = /^\/v1\/instances\/([^/]+)\/exec(?:\/[^/]+(?:\/([^/]+))?)?$/;

const FILES = /^\/v1\/instances\/([^/]+)\/files(?:\/(move))?$/;

/**
 * Requires the scope that a request needs: `read` to read, `create` to start instances, `admin` for
 * other changes. A token of scope `create` may also use the instances and names that it created. Commands,
 * their output, and files need `admin`, or `exec` for an instance that the token started. Paths are compared
 * exactly, like the routes.
 * @throws ApiError forbidden; the same for what another token created as for an unknown id
 */
export function requireScope(
  instances: Pick<InstanceStore, 'get'>,
  names: Pick<Names, 'get'>,
): Middleware {
  return async (ctx, next) => {
    const principal = principalOf(ctx);
    const needs = scopeFor(ctx.method, ctx.path);
    // The scope `exec` alone is not enough: the token must have started the instance.
    const isForOwn = needs === 'exec';
    if (isForOwn && !allows(principal, needs)) throw new ApiError({ kind: 'forbidden', needs });
    if (needs !== undefined && !allows(principal, isForOwn ? 'admin' : needs)) {
      const id = (EXEC.exec(ctx.path) ?? FILES.exec(ctx.path) ?? ONE.exec(ctx.path))?.[1] ?? '';
      const name = NAME.exec(ctx.path)?.[1] ?? '';
      const isOwn =
        (isId(id) && (await ownsInstance(instances, principal, id))) ||
        (isName(name) && (await ownsName(names, principal, name)));
      if (!isOwn) throw new ApiError({ kind: 'forbidden', needs: isForOwn ? 'admin' : needs });
    }
    await next();
  };
}

async function ownsName(
  names: Pick<Names, 'get'>,
  principal: Principal,
  name: string,
): Promise<boolean> {
  if (!allows(principal, 'create')) return false;
  return (await names.get(name))?.owner === principalKey(principal);
}

/** The scope that a request needs; undefined if any token is enough. */
export function scopeFor(method: string, path: string): Scope | undefined {
  if ((EXEC.test(path) || FILES.test(path)) && method !== 'OPTIONS') return 'exec';
  const isRead = method === 'GET' || method === 'HEAD' || method === 'OPTIONS';
  if (isRead) return OPEN.includes(path) ? undefined : 'read';
  if (NAME.test(path) && (method === 'PUT' || method === 'DELETE')) return 'create';
  return method === 'POST' && CREATING.includes(path) ? 'create' : 'admin';
}

/**
 * A signal that ends a stream: it aborts when the client disconnects, when the token is revoked or
 * loses a scope, and, if `stopping` is given, when the replica stops.
 */
export function abortWhenRevoked(
  ctx: Context,
  tokens: Pick<TokenSet, 'named'>,
  stopping?: AbortSignal,
): AbortSignal {
  const { name, fingerprint, scopes } = principalOf(ctx);
  const ended = new AbortController();
  const check = setInterval(() => {
    const now = tokens.named(name, fingerprint);
    if (!now || !scopes.every((scope) => allows(now, scope))) end();
  }, TOKEN_CHECK_INTERVAL_MS);
  const end = (): void => {
    clearInterval(check);
    ended.abort();
  };
  ctx.res.once('close', end);
  // The client may have disconnected before the listener was added.
  if (ctx.res.closed) end();
  return stopping ? AbortSignal.any([ended.signal, stopping]) : ended.signal;
}

/**
 * Audits every change, every read of an instance's log, and every request that was refused for its
 * token. An entry has the principal, the action, the instance, the status and the client address.
 */
export function auditActions(options: {
  readonly logger: Logger;
  readonly addressOf: (req: IncomingMessage) => string;
}): Middleware {
  const { logger, addressOf } = options;
  return auditRequests({
    logger,
    addressOf: ({ req }) => addressOf(req),
    nameOf(ctx, path) {
      const action = actionOf(ctx.method, path);
      const { statusCode: status } = ctx.res;
      if (action === undefined && status !== 401 && status !== 403) return undefined;
      const { principal } = ctx.state as { principal?: Principal };
      // Without a limit, guessed tokens would fill the log.
      if (status === 429 && principal === undefined) return undefined;
      const made = /^\/v1\/instances\/([a-z0-9]+)$/.exec(ctx.response.get('location'))?.[1];
      const id = made ?? (EXEC.exec(path) ?? FILES.exec(path) ?? ONE.exec(path))?.[1] ?? '';
      const host = HOST.exec(path)?.[1];
      const name = NAME.exec(path)?.[1];
      return {
        action: action ?? auditedText(`${ctx.method} ${path}`),
        id: isId(id) ? id : undefined,
        ...(host !== undefined && { host: auditedText(host) }),
        ...(name !== undefined && { name: auditedText(name) }),
      };
    },
  });
}

/** By the last word of the path, or the method. */
const FILE_ACTIONS: Readonly<Record<string, string>> = {
  GET: 'instance.read-file',
  PUT: 'instance.write-file',
  DELETE: 'instance.remove-file',
  move: 'instance.move-file',
};

/** Returns the audit name of a request; undefined for a request that only reads. */
export function actionOf(method: string, path: string): string | undefined {
  const [, id, verb] = ONE.exec(path) ?? [];
  const onCommand = EXEC.exec(path);
  if (onCommand && method === 'GET') return 'instance.read-exec';
  if (onCommand && method === 'POST') {
    return onCommand[2] === undefined
      ? 'instance.exec'
      : `instance.exec-${auditedText(onCommand[2])}`;
  }
  const onFiles = FILES.exec(path);
  const fileAction = onFiles && FILE_ACTIONS[onFiles[2] ?? method];
  if (fileAction) return fileAction;
  if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS') {
    return verb === 'logs' ? 'instance.read-log' : undefined;
  }
  const onHost = HOST.exec(path)?.[2];
  if (onHost !== undefined && method === 'POST') return `host.${onHost}`;
  if (path === '/v1/instances' && method === 'POST') return 'instance.create';
  if (path === '/v1/instances' && method === 'DELETE') return 'instance.end-all';
  if (path === '/v1/links' && method === 'POST') return 'link.create';
  if (NAME.test(path) && method === 'PUT') return 'name.put';
  if (NAME.test(path) && method === 'DELETE') return 'name.delete';
  if (id !== undefined && verb === undefined && method === 'DELETE') return 'instance.end';
  if (verb !== undefined && method === 'POST') return `instance.${verb}`;
  return auditedText(`${method} ${path}`);
}
