import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { DataPath } from './data-path.ts';
import {
  isAnswering,
  existingClientConnection,
  type ClientConnection,
} from './client-connection.ts';
import { refuseSocket, REFUSALS, type Refusal } from './refusal.ts';

type Handler = (req: IncomingMessage, res: ServerResponse) => unknown;

/** Limits of the public port. */
export interface PublicServerOptions {
  /** How long the head of a request may take, ms. */
  readonly headersTimeout?: number;
  /** How long an idle connection is kept, ms: longer than any load balancer keeps it. */
  readonly keepAliveTimeout?: number;
  readonly maxConnections?: number;
}

/**
 * The public port: what is for an instance goes the data path's way, the rest to the entrance.
 * Every way that node:http has into a program is guarded.
 */
export function createPublicServer(
  dataPath: DataPath,
  launch: Handler,
  options: PublicServerOptions = {},
): Server {
  const server = createServer({
    headersTimeout: options.headersTimeout ?? 15_000,
    keepAliveTimeout: options.keepAliveTimeout ?? 75_000,
    // Without this, node:http looks for slow heads only every 30 s.
    connectionsCheckingInterval: 500,
    // An upload takes as long as it takes: who is silent is cut, not who is slow.
    requestTimeout: 0,
    maxHeaderSize: 16 * 1024,
    // The guards answer a missing Host, and in HTTP/1.0 too.
    requireHostHeader: false,
    noDelay: true,
  });
  // Past its limit node:http drops header fields, and with them what frames the body. So there is
  // none, and the guards count.
  server.maxHeadersCount = 0;
  server.maxConnections = options.maxConnections ?? 20_000;

  const handle: Handler = (req, res) => {
    // By TE alone node:http would send chunks to HTTP/1.0, which has none (RFC 9112 6.1).
    if (req.httpVersion === '1.0') res.useChunkedEncodingByDefault = false;
    if (!dataPath.request(req, res)) launch(req, res);
  };
  server.on('request', handle);
  server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
    if (dataPath.request(req, res)) return;
    res.writeContinue();
    launch(req, res);
  });
  // Any other expectation the guards refuse.
  server.on('checkExpectation', handle);
  server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
    dataPath.upgrade(req, socket, head);
  });
  server.on('connect', (_req: IncomingMessage, socket: Socket) => {
    socket.on('error', () => socket.destroy());
    const client = existingClientConnection(socket);
    // Behind an answer that is still on its way, a refusal would be taken for that answer.
    if (client !== undefined && isAnswering(client)) socket.destroy();
    else if (client?.isRefused === true) socket.destroySoon();
    else refuseSocket(socket, REFUSALS.method);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const client = existingClientConnection(socket);
    const refusal = REFUSAL_OF[error.code ?? ''] ?? REFUSALS.malformed;
    if (!socket.writable || error.code === 'ECONNRESET') socket.destroy();
    // A client that leaves within a head is told of as what is malformed, and by no other means.
    else if (error.code === 'HPE_INVALID_EOF_STATE') socket.destroy();
    else if (client !== undefined && isReceivingRequest(client))
      endAfterResponse(socket, client, refusal);
    else if (client?.isRefused === true) socket.destroySoon();
    else refuseSocket(socket, refusal);
  });
  return server;
}

/** Whether an answer is on its way, or has left before the body that it is to. */
function isReceivingRequest(client: ClientConnection): boolean {
  return isAnswering(client) || client.answer?.req.complete === false;
}

/** Ends a connection on which something is wrong while an exchange is under way. */
function endAfterResponse(socket: Socket, client: ClientConnection, refusal: Refusal): void {
  const { answer } = client;
  // In its own body: it is the answer to that, as long as it has not begun and none is before it.
  if (answer?.req.complete === false) {
    if (answer.headersSent || answer.socket === null) socket.destroy();
    else refuseSocket(socket, refusal);
    return;
  }
  // Behind it: whoever asked gets the answer whole, and nothing follows it.
  if (client.isRefused) return;
  client.isRefused = true;
  answer?.once('finish', () => socket.destroySoon());
}

/** What the parser of node:http found wrong, by its code; everything else is malformed. */
const REFUSAL_OF: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: REFUSALS.headers,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: REFUSALS.chunkExtension,
  HPE_PAUSED_H2_UPGRADE: REFUSALS.version,
  ERR_HTTP_REQUEST_TIMEOUT: REFUSALS.timeout,
};
