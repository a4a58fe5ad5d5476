import { Stream } from 'node:stream';
import { pathPattern, problemOf, undeclaredIn } from '@ephemera/contract';
import type { RouteDeclaration, RouteInput } from '@ephemera/contract';
import { ApiError } from '@ephemera/domain';
import type Koa from 'koa';
import type { Context, Middleware } from 'koa';
import { type Unknown, checkRequest } from './check-request.ts';
import { bodyReader } from './read-body.ts';

/** A declaration with the handler that keeps it. */
export interface BoundRoute {
  readonly declaration: RouteDeclaration;
  readonly handle: (ctx: Context, input: never) => void | Promise<void>;
}

export interface MountOptions {
  /** What is done with parameters, fields and bodies that a route does not declare. */
  readonly unknown: Unknown;
  /**
   * Whether a path matches in these very letters alone, without a slash at its end. So it must be
   * where scopes and the audit log read the path too.
   */
  readonly exact: boolean;
  /** Whether each response is checked against its declaration, for tests. */
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
 * The one way to mount routes. Each request is checked against the declaration of its route before
 * the handler runs. A known path with another method is 405 with Allow; an unknown path goes on to
 * the next middleware. OPTIONS answers with Allow, HEAD as GET does.
 */
export function mountRoutes(routes: readonly BoundRoute[], options: MountOptions): Middleware {
  const { unknown, exact, checkResponses = false } = options;
  const table = routes.map(({ declaration, handle }) => ({
    declaration,
    handle: handle as (ctx: Context, input: unknown) => void | Promise<void>,
    pattern: pathPattern(declaration.path, exact),
    readBody: declaration.body && bodyReader(declaration.body),
  }));

  const middleware: Middleware = async (ctx, next) => {
    const here = table.filter(({ pattern }) => pattern.test(ctx.path));
    if (here.length === 0) {
      await next();
      return;
    }
    const found = here.find(({ declaration }) => methodsOf(declaration).includes(ctx.method));
    if (!found) {
      const allow = [...new Set(here.flatMap((item) => methodsOf(item.declaration)))].join(', ');
      if (ctx.method !== 'OPTIONS') {
        throw new ApiError({ kind: 'method_not_allowed', allow });
      }
      ctx.set('allow', allow);
      ctx.body = '';
      ctx.status = 200;
      return;
    }
    const { declaration, handle, pattern, readBody } = found;
    const respond = async (): Promise<void> => {
      const raw = pattern.exec(ctx.path)?.groups ?? {};
      await handle(ctx, await checkRequest(declaration, ctx, raw, readBody, unknown));
    };
    if (checkResponses) await checkResponse(declaration, ctx, respond);
    else await respond();
  };
  const declarations = routes.map(({ declaration }) => declaration);
  return Object.assign(middleware, { [MOUNTED]: { declarations, options } });
}

/** What is mounted on an app. */
export function routesOf(app: Koa): Mounted[] {
  return (app.middleware as readonly (Middleware | RoutesMiddleware)[]).flatMap((item) =>
    MOUNTED in item ? [item[MOUNTED]] : [],
  );
}

function methodsOf({ method, refusesHead = false }: RouteDeclaration): string[] {
  return method === 'GET' && !refusesHead ? ['GET', 'HEAD'] : [method];
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
