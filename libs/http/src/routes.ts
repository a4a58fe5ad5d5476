import { Stream } from 'node:stream';
import Router, { type RouterContext } from '@koa/router';
import { problemOf, undeclaredIn } from '@ephemera/contract';
import type { RouteDeclaration, RouteInput } from '@ephemera/contract';
import { ApiError } from '@ephemera/domain';
import type Koa from 'koa';
import type { Context, Middleware } from 'koa';
import { type Unknown, checkRequest } from './check-request.ts';
import { bodyReader } from './read-body.ts';

/** A declaration with its handler. */
export interface BoundRoute {
  readonly declaration: RouteDeclaration;
  readonly handle: (ctx: Context, input: never) => void | Promise<void>;
}

export interface MountOptions {
  /** Whether parameters, fields and bodies that a route does not declare are refused or ignored. */
  readonly unknown: Unknown;
  /**
   * Whether a path matches case-sensitively and without a trailing slash. Required where the scope
   * check and the audit log also read the path: all three must agree on what it names.
   */
  readonly exact: boolean;
  /** Whether each response is checked against its declaration. For tests. */
  readonly checkResponses?: boolean | undefined;
}

/** The routes of one mount, as a test finds them on an app. */
export interface Mounted {
  readonly declarations: readonly RouteDeclaration[];
  readonly options: MountOptions;
}

const MOUNTED = Symbol('mounted');
type RoutesMiddleware = Middleware & { readonly [MOUNTED]: Mounted };

/** Binds a handler to its declaration: its input has the types of the declared schemas. */
export function route<const R extends RouteDeclaration>(
  declaration: R,
  handle: (ctx: Context, input: RouteInput<R>) => void | Promise<void>,
): BoundRoute {
  return { declaration, handle };
}

/**
 * Mounts routes on one @koa/router. Each request is checked against the declaration of its route
 * before the handler runs. A known path with another method throws 405 with Allow; an unknown path
 * passes to the next middleware. OPTIONS answers with Allow; HEAD answers as GET does.
 * @throws ApiError method_not_allowed; what `checkRequest` throws
 */
export function mountRoutes(routes: readonly BoundRoute[], options: MountOptions): Middleware {
  const router = new Router({ sensitive: options.exact });
  for (const { declaration, handle } of routes) {
    const layer = router.register(
      routerPath(declaration.path),
      [declaration.method],
      guardedHandler(declaration, handle, options),
      // A second slash after `/` would be another path.
      { strict: options.exact || declaration.path.endsWith('/') },
    );
    // The router adds HEAD to every GET.
    if (declaration.refusesHead === true) layer.methods = [declaration.method];
  }
  const dispatch = router.routes() as unknown as (
    ctx: Context,
    next: () => Promise<unknown>,
  ) => Promise<unknown>;

  const middleware: Middleware = (ctx, next): Promise<unknown> =>
    dispatch(ctx, () => {
      // Before the next middleware, not after it like `allowedMethods()`. Otherwise the 405 of an
      // open route would become the 401 of the token check that follows.
      const matched = router.match(ctx.path, ctx.method).path;
      if (matched.length === 0) return next();
      const allow = [...new Set(matched.flatMap(({ methods }) => methods))].join(', ');
      if (ctx.method !== 'OPTIONS') throw new ApiError({ kind: 'method_not_allowed', allow });
      ctx.set('allow', allow);
      ctx.body = '';
      ctx.status = 200;
      return Promise.resolve();
    });
  const declarations = routes.map(({ declaration }) => declaration);
  return Object.assign(middleware, { [MOUNTED]: { declarations, options } });
}

/** The routes that are mounted on an app. */
export function routesOf(app: Koa): Mounted[] {
  return (app.middleware as readonly (Middleware | RoutesMiddleware)[]).flatMap((item) =>
    MOUNTED in item ? [item[MOUNTED]] : [],
  );
}

/**
 * `/v1/instances/{id}` → `/v1/instances/:id`, with characters that path-to-regexp would interpret
 * escaped.
 */
function routerPath(path: string): string {
  const parts = path.split(/\{(\w+)\}/);
  return parts
    .map((part, i) => (i % 2 === 1 ? `:${part}` : part.replace(/[\\:*{}()[\]+?!]/g, '\\$&')))
    .join('');
}

function guardedHandler(
  declaration: RouteDeclaration,
  handle: BoundRoute['handle'],
  { unknown, checkResponses = false }: MountOptions,
): (ctx: RouterContext) => Promise<void> {
  const { body } = declaration;
  const readBody =
    body && body.type !== 'bytes' ? bodyReader({ ...body, type: body.type }) : undefined;
  const run = handle as (ctx: Context, input: unknown) => void | Promise<void>;
  return async (ctx) => {
    const { params } = ctx;
    const context = ctx as unknown as Context;
    const respond = async (): Promise<void> => {
      await run(context, await checkRequest(declaration, context, params, readBody, unknown));
    };
    if (checkResponses) await checkResponse(declaration, context, respond);
    else await respond();
  };
}

/** @throws Error where the response is not as declared */
async function checkResponse(
  declaration: RouteDeclaration,
  ctx: Context,
  respond: () => Promise<void>,
): Promise<void> {
  let failure: ApiError | undefined;
  try {
    await respond();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    failure = error;
  }
  const body: unknown = ctx.body;
  const isJson = typeof body === 'object' && !(body instanceof Stream) && !Buffer.isBuffer(body);
  const response = failure
    ? { status: problemOf(failure.failure).problem.status, type: 'application/problem+json' }
    : {
        status: ctx.status,
        type: ctx.response.get('content-type') || undefined,
        body: isJson ? (JSON.parse(JSON.stringify(body)) as unknown) : undefined,
      };
  const fault = undeclaredIn(declaration, response);
  if (fault !== undefined) throw new Error(fault, { cause: failure });
  if (failure) throw failure;
}
