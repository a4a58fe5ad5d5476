import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from '@ephemera/process';
import { shareServer } from '@ephemera/proxy';
import type { createPublicInterface } from '@ephemera/proxy';

export interface AttachOptions {
  /**
   * Whether a WebSocket handshake for an instance may proceed. Upgrades do not pass the middleware of
   * the application, so a login that protects the routes must be checked here too. Default: yes.
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
  /** Gives the servers back to the application. */
  detach(): void;
}

/** A response that the library writes itself, before anything is looked up. */
interface Answer {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
}

const CLOSED: Answer = {
  status: 503,
  title: 'Service unavailable',
  detail: 'This server is stopping. Try again in a few seconds.',
};
const MISUSED: Answer = {
  status: 500,
  title: 'Internal error',
  detail: 'The server is not set up correctly. Its log has the reason.',
};
const NOT_ALLOWED: Answer = {
  status: 403,
  title: 'Forbidden',
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
  const detachers: (() => void)[] = [];
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
    if (req.headers.expect !== undefined) res.writeContinue();
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
      const detach = shareServer(server, dataPlane, {
        connections,
        onOwnOrigin: serve,
        mayUpgrade: (req) => !isClosed && mayUpgrade(req),
        refuseUpgrade(_req, socket, error) {
          if (error !== undefined) logger.error({ err: error }, 'mayUpgrade failed');
          if (socket.destroyed) return;
          const refusal = error !== undefined ? MISUSED : isClosed ? CLOSED : NOT_ALLOWED;
          socket.end(textOf(refusal));
        },
      });
      server.prependListener('connection', (socket) => attached.add(socket));
      detachers.push(detach);
    },

    close() {
      isClosed = true;
    },
    detach() {
      for (const detach of detachers.splice(0)) detach();
    },
  };

  function misuseOf(req: IncomingMessage): string | undefined {
    if (!attached.has(req.socket)) return NOT_ATTACHED;
    const { 'content-length': length = '0', 'transfer-encoding': coding } = req.headers;
    const hasBody = coding !== undefined || Number(length) > 0;
    return hasBody && req.readableDidRead ? BODY_READ : undefined;
  }
}

function answer(req: IncomingMessage, res: ServerResponse, { status, ...problem }: Answer): void {
  const body = JSON.stringify({ type: 'about:blank', status, ...problem });
  // What follows of the body must not be taken for a request.
  res.shouldKeepAlive = false;
  res.writeHead(status, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(status === 503 && { 'retry-after': '5' }),
  });
  res.end(req.method === 'HEAD' ? undefined : body);
}

/** The same answer where node:http has handed over the connection for an upgrade. */
function textOf({ status, ...problem }: Answer): string {
  const body = JSON.stringify({ type: 'about:blank', status, ...problem });
  return (
    `HTTP/1.1 ${status} ${problem.title}\r\ncontent-type: application/problem+json\r\n` +
    `content-length: ${Buffer.byteLength(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n${body}`
  );
}
