import { STATUS_CODES } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from '@ephemera/process';
import { shareServer } from '@ephemera/proxy';
import type { createPublicInterface, Refusal } from '@ephemera/proxy';

/** Settings of one attached server. */
export interface AttachOptions {
  /**
   * Whether a WebSocket handshake below the prefix may proceed. Upgrades do not pass the middleware of
   * the application, so a login that protects the routes must be checked here too. Default: yes. It is
   * not called for handshakes on the origins of instances, where cookies of the application are absent.
   */
  readonly mayUpgrade?: (req: IncomingMessage) => boolean | Promise<boolean>;
}

/** The part of the library that handles requests of the application's server. */
export interface RequestHandler {
  /**
   * Handles a request below the prefix, or on the origin of an instance. Returns false for every other
   * request: the application then handles it.
   * @param ownerOf called if the request starts an instance
   */
  readonly handle: (
    req: IncomingMessage,
    res: ServerResponse,
    ownerOf: (() => unknown) | undefined,
  ) => boolean;
  /** See `Ephemera.attach`. */
  attach(server: Server, options?: AttachOptions): void;
  /** Answers 503 from now on. */
  close(): void;
}

const CLOSED: Refusal = {
  kind: 'refusal',
  status: 503,
  detail: 'This server is stopping. Try again in a few seconds.',
  headers: { 'retry-after': '5' },
};
const MISUSED: Refusal = {
  kind: 'refusal',
  status: 500,
  detail: 'The server is not set up correctly. Its log has the reason.',
};
const NOT_ALLOWED: Refusal = {
  kind: 'refusal',
  status: 403,
  detail: 'The application does not allow this WebSocket.',
};

const NOT_ATTACHED =
  'a request arrived on a server that is not attached; call attach(server) before it listens';
const BODY_READ =
  'a body parser of the application has read the body of this request; mount Ephemera before it';

export function createRequestHandler(
  visitors: Pick<
    ReturnType<typeof createPublicInterface>,
    'dataPlane' | 'launch' | 'inFlight' | 'connections'
  >,
  owners: WeakMap<IncomingMessage, () => unknown>,
  logger: Logger,
): RequestHandler {
  const { dataPlane, inFlight, connections } = visitors;
  const launch = inFlight.track(visitors.launch);
  /** The connections whose parser has the settings of the public port. */
  const attached = new WeakSet<Socket>();
  let isClosed = false;

  const serve = (req: IncomingMessage, res: ServerResponse): void => {
    // The client may have left while the application authenticated it.
    if (res.destroyed || req.socket.destroyed) return;
    if (isClosed) {
      answer(req, res, CLOSED);
      return;
    }
    // For `TE` alone, node:http would send a chunked response to HTTP/1.0, which does not support
    // it (RFC 9112 section 6.1).
    if (req.httpVersion === '1.0') res.useChunkedEncodingByDefault = false;
    if (dataPlane.forwardAdmitted(req, res)) return;
    // HTTP/1.0 has no informational responses.
    if (req.headers.expect !== undefined && req.httpVersion !== '1.0') res.writeContinue();
    // Only behind the response: `launch` may read the body.
    res.once('finish', () => dataPlane.lingering.discardRest(req, res));
    launch(req, res);
  };

  return {
    handle(req, res, ownerOf) {
      if (!dataPlane.isAddressed(req)) return false;
      const misuse = misuseOf(req);
      if (misuse !== undefined) {
        logger.error({ method: req.method }, misuse);
        answer(req, res, MISUSED);
        return true;
      }
      if (ownerOf !== undefined) owners.set(req, ownerOf);
      serve(req, res);
      return true;
    },

    attach(server, { mayUpgrade = () => true } = {}) {
      shareServer(server, dataPlane, {
        connections,
        onOwnOrigin: serve,
        async refusalOfUpgrade(req) {
          if (!isClosed && !attached.has(req.socket)) {
            logger.error(NOT_ATTACHED);
            return MISUSED;
          }
          try {
            const may = dataPlane.isAddressed(req) === 'host' || (await mayUpgrade(req));
            // It may have been closed meanwhile.
            if (isClosed) return CLOSED;
            return may ? undefined : NOT_ALLOWED;
          } catch (error) {
            logger.error({ err: error }, 'mayUpgrade failed');
            return isClosed ? CLOSED : MISUSED;
          }
        },
      });
      server.prependListener('connection', (socket) => attached.add(socket));
    },

    close() {
      isClosed = true;
    },
  };

  function misuseOf(req: IncomingMessage): string | undefined {
    if (!attached.has(req.socket)) return NOT_ATTACHED;
    const { 'content-length': length = '0', 'transfer-encoding': coding } = req.headers;
    const hasBody = coding !== undefined || Number(length) > 0;
    return hasBody && req.readableDidRead ? BODY_READ : undefined;
  }
}

function answer(req: IncomingMessage, res: ServerResponse, refusal: Refusal): void {
  const { status, detail, headers } = refusal;
  const body = JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[status],
    status,
    detail,
  });
  // What follows of the body must not be taken for a request.
  res.shouldKeepAlive = false;
  res.writeHead(status, {
    ...headers,
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  res.end(req.method === 'HEAD' ? undefined : body);
}
