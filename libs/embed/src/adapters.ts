import type { IncomingMessage, ServerResponse } from 'node:http';
import Router from '@koa/router';
import type { Context } from 'koa';
import type { OwnerOf } from './owner.ts';
import type { RequestHandler } from './request-handler.ts';

/** What a framework's adapter takes. `Request` is what its own handlers get. */
export interface AdapterOptions<Request> {
  /**
   * The owner of an instance that this request starts. The start then counts against that owner's
   * quota (`limits.perOwner`, `limits.ratePerOwner`), and may use templates with `create: token` or
   * `link`. Undefined or null: the start counts against the client address, as on a replica.
   *
   * It is called only for requests that start an instance, and must not be async. If it throws, or
   * returns anything but an id of at most 256 characters, the visitor gets 500, and the log the reason.
   */
  readonly owner?: OwnerOf<Request>;
}

/** For node:http. Returns false if the request is for the application. */
export type NodeHandler = (req: IncomingMessage, res: ServerResponse) => boolean;

export function nodeHandler(
  { handle }: RequestHandler,
  { owner }: AdapterOptions<IncomingMessage>,
): NodeHandler {
  return (req, res) => handle(req, res, owner && (() => owner(req)));
}

/**
 * The routes of a router of Koa, for `router.use('/demo', …)` of an outer router or `app.use(…)`. The
 * prefix is that of the options, wherever they are mounted.
 */
export function koaRoutes({ handle }: RequestHandler, { owner }: AdapterOptions<Context>) {
  const router = new Router();
  // A router runs middleware only for a route that matches, so this is a route.
  router.all('{/*path}', async (ctx, next) => {
    if (!handle(ctx.req, ctx.res, owner && (() => owner(ctx)))) {
      await next();
      return;
    }
    // Koa writes no response of its own after this one.
    ctx.respond = false;
    // Until the response has begun, middleware in front would take this for a page that nobody has
    // found, and answer it too.
    await untilClosed(ctx.req, ctx.res);
  });
  return router.routes();
}

/** Resolves once the response was sent, or its client has left. */
async function untilClosed({ socket }: IncomingMessage, res: ServerResponse): Promise<void> {
  if (res.closed || res.destroyed || socket.destroyed) return;
  await new Promise<void>((resolve) => void res.once('close', () => resolve()));
}

/** A request as Express hands it to middleware. */
export interface ExpressRequest extends IncomingMessage {
  readonly originalUrl: string;
}
export type ExpressHandler<Request extends ExpressRequest> = (
  req: Request,
  res: ServerResponse,
  next: (error?: unknown) => void,
) => void;

/** For `app.use(…)` of Express, with a path or without. */
export function expressHandler<Request extends ExpressRequest>(
  { handle }: RequestHandler,
  { owner }: AdapterOptions<Request>,
): ExpressHandler<Request> {
  return (req, res, next) => {
    // Express removes the path of a mount. The instance is found by the whole target.
    const { url } = req;
    req.url = req.originalUrl;
    if (handle(req, res, owner && (() => owner(req)))) return;
    if (url !== undefined) req.url = url;
    next();
  };
}

/** A request as hooks of Fastify get it. */
export interface FastifyRequest {
  readonly raw: IncomingMessage;
}
interface FastifyReply {
  readonly raw: ServerResponse;
  hijack(): unknown;
  callNotFound(): unknown;
}
interface FastifyScope {
  all(
    path: string,
    options: { onRequest(request: FastifyRequest, reply: FastifyReply, done: () => void): void },
    handler: (request: FastifyRequest, reply: FastifyReply) => unknown,
  ): unknown;
}
/** A plugin for `app.register(…)` of Fastify. */
export type FastifyPlugin = (scope: FastifyScope, options: object, done: () => void) => void;

export function fastifyPlugin<Request extends FastifyRequest>(
  { handle }: RequestHandler,
  prefix: string,
  { owner }: AdapterOptions<Request>,
): FastifyPlugin {
  return (scope, _options, done) => {
    for (const path of [`/${prefix}`, `/${prefix}/*`]) {
      scope.all(
        path,
        {
          // Before the body is parsed: it belongs to the instance.
          onRequest(request, reply, next) {
            if (handle(request.raw, reply.raw, owner && (() => owner(request as Request))))
              reply.hijack();
            else next();
          },
        },
        (_request, reply) => reply.callNotFound(),
      );
    }
    done();
  };
}
