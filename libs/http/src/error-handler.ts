import { ApiError } from '@ephemera/domain';
import type { Failure } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import type { Context, Middleware } from 'koa';

export interface ErrorHandlerOptions {
  readonly logger: Logger;
  /** Whether an error means that Redis cannot be used now. */
  readonly isRedisUnavailable: (error: unknown) => boolean;
  /** Writes the response of a failure. */
  readonly respond: (ctx: Context, failure: Failure) => void;
}

/**
 * The single error handler of an app. Clients see the facts of an `ApiError` and messages that Koa
 * marks with `expose`. Every other error is logged and answered as an internal one. A request that
 * no middleware answers is not found.
 */
export function errorHandler({
  logger,
  isRedisUnavailable,
  respond,
}: ErrorHandlerOptions): Middleware {
  return async (ctx, next) => {
    try {
      await next();
      if (ctx.status === 404 && (ctx.body ?? null) === null) {
        throw new ApiError({ kind: 'not_found', what: 'such page' });
      }
    } catch (error) {
      const failure = failureOf(error, isRedisUnavailable);
      if (failure.kind === 'internal') {
        logger.error({ err: error, path: ctx.path }, 'request failed');
      }
      respond(ctx, failure);
    }
  };
}

function failureOf(error: unknown, isRedisUnavailable: (error: unknown) => boolean): Failure {
  if (error instanceof ApiError) return error.failure;
  if (isRedisUnavailable(error)) return { kind: 'store_unavailable' };
  if (error instanceof Error && 'expose' in error && error.expose === true) {
    const { status } = error as { readonly status?: unknown };
    if (typeof status === 'number') {
      return { kind: 'invalid', status, faults: [{ path: '', detail: error.message }] };
    }
  }
  return { kind: 'internal' };
}

/**
 * Whether a client prefers a page to JSON. A browser names text/html in Accept; scripts and tools
 * ask for JSON or for anything.
 */
export function prefersHtml(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  const html = accept.indexOf('text/html');
  if (html === -1) return false;
  const json = accept.search(/application\/(problem\+)?json/);
  return json === -1 || html < json;
}
