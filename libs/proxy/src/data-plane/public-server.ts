import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { takeConnection } from '@ephemera/http';
import { type ClientConnection, isResponding, knownConnection } from './client-connection.ts';
import { type ConnectionLimits, limitConnections } from './connection-limits.ts';
import type { DataPlane } from './data-plane.ts';
import { type Refusal, refuseSocket, REFUSALS } from './early-response.ts';
import {
  CLIENT_KEEP_ALIVE_MS,
  HEADERS_CHECK_INTERVAL_MS,
  HEADERS_TIMEOUT_MS,
  MAX_REQUEST_HEAD_BYTES,
} from './limits.ts';

type Handler = (req: IncomingMessage, res: ServerResponse) => unknown;

/** Limits of the public port, with the defaults of `limits.ts`. */
export interface PublicServerOptions {
  /** How long a request head may take, ms. */
  readonly headersTimeout?: number;
  /** All header bytes of a request, with its target; 431 beyond it. */
  readonly maxRequestHead?: number;
  /** How long an idle connection is kept, ms: longer than any load balancer keeps it. */
  readonly keepAliveTimeout?: number;
  readonly connections?: ConnectionLimits;
}

/**
 * The public port. Requests for an instance go to the data plane, all others to `launch`. Every
 * event by which node:http hands a client to the program is handled here.
 */
export function createPublicServer(
  dataPlane: DataPlane,
  launch: Handler,
  options: PublicServerOptions = {},
): Server {
  const server = createServer({
    headersTimeout: options.headersTimeout ?? HEADERS_TIMEOUT_MS,
    keepAliveTimeout: options.keepAliveTimeout ?? CLIENT_KEEP_ALIVE_MS,
    connectionsCheckingInterval: HEADERS_CHECK_INTERVAL_MS,
    // An upload may take any time: clients that are silent are cut, not those that are slow.
    requestTimeout: 0,
    maxHeaderSize: options.maxRequestHead ?? MAX_REQUEST_HEAD_BYTES,
    // The request checks respond to a missing Host, in HTTP/1.0 too.
    requireHostHeader: false,
    shouldUpgradeCallback: (req) => dataPlane.shouldUpgrade(req),
    noDelay: true,
  });
  // Beyond its limit node:http drops fields, and with them the framing of the body. So there is no
  // limit here, and the request checks count the fields.
  server.maxHeadersCount = 0;
  limitConnections(server, options.connections ?? {});

  const { lingering } = dataPlane;
  lingering.attach(server);

  const launchAndDiscard: Handler = (req, res) => {
    // Only behind the response: `launch` may read the body.
    res.once('finish', () => lingering.discardRest(req, res));
    return launch(req, res);
  };
  const handle: Handler = (req, res) => {
    // For `TE` alone, node:http would send a chunked response to HTTP/1.0, which does not support
    // it (RFC 9112 section 6.1).
    if (req.httpVersion === '1.0') res.useChunkedEncodingByDefault = false;
    if (!dataPlane.request(req, res)) launchAndDiscard(req, res);
  };
  server.on('request', handle);
  server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
    if (dataPlane.request(req, res)) return;
    res.writeContinue();
    launchAndDiscard(req, res);
  });
  // The request checks refuse any other expectation.
  server.on('checkExpectation', handle);
  server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
    dataPlane.upgrade(req, socket, head);
  });
  server.on('connect', (_req: IncomingMessage, socket: Socket) => refuseConnect(dataPlane, socket));
  server.on('clientError', (error: ParserError, socket: Socket) =>
    handleClientError(dataPlane, error, socket),
  );
  return server;
}

/** Refuses a CONNECT, which node:http hands over without a response object. */
export function refuseConnect(dataPlane: Pick<DataPlane, 'refusals'>, socket: Socket): void {
  socket.on('error', () => socket.destroy());
  const { remoteAddress: address } = socket;
  dataPlane.refusals.add(REFUSALS.method, { address, method: 'CONNECT' });
  const connection = knownConnection(socket);
  // The client would take a refusal for the response that is still being sent.
  if (connection !== undefined && isResponding(connection)) {
    // A refusal that is being sent closes the connection itself.
    if (!connection.isRefused) socket.destroy();
  } else if (connection?.isRefused === true) socket.destroySoon();
  else refuseSocket(socket, REFUSALS.method);
}

/** Handles a connection on which node:http found an error. */
export function handleClientError(
  { lingering, refusals }: Pick<DataPlane, 'lingering' | 'refusals'>,
  error: ParserError,
  socket: Socket,
): void {
  if (lingering.has(socket)) return;
  const connection = knownConnection(socket);
  const refusal = refusalOf(error);
  // Errors of the socket, and a client that disconnects, refuse nothing.
  if (REFUSED.test(error.code ?? '')) {
    refusals.add(refusal, { address: socket.remoteAddress, cause: error });
  }
  if (!socket.writable || error.code === 'ECONNRESET') socket.destroy();
  // If the client disconnects mid-header, llhttp reports this; there is no separate event.
  else if (error.code === 'HPE_INVALID_EOF_STATE') socket.destroy();
  else if (connection !== undefined && isServing(connection)) {
    closeAfterResponse(socket, connection, refusal);
  } else if (connection?.isRefused === true) socket.destroySoon();
  else refuseSocket(socket, refusal);
}

/** Whether a response is being sent, or was sent before its request body had arrived. */
function isServing(connection: ClientConnection): boolean {
  return isResponding(connection) || connection.lastResponse?.req.complete === false;
}

/** Closes a connection on which the parser found an error while a request is being served. */
function closeAfterResponse(socket: Socket, connection: ClientConnection, refusal: Refusal): void {
  const { lastResponse } = connection;
  // A refusal closes the connection itself.
  if (connection.isRefused) return;
  // The error is in the body of that request. The refusal is its response, unless another response
  // has started or must be sent first.
  if (lastResponse?.req.complete === false) {
    if (lastResponse.writableFinished) socket.destroySoon();
    else if (lastResponse.writableEnded) lastResponse.once('finish', () => socket.destroySoon());
    else if (lastResponse.headersSent || lastResponse.socket === null) socket.destroy();
    else {
      takeConnection(lastResponse, socket);
      refuseSocket(socket, refusal);
    }
    return;
  }
  // The error is after that request. Its response is completed, and the connection then closes.
  connection.isRefused = true;
  lastResponse?.once('finish', () => socket.destroySoon());
}

/** An error of the parser: where, in which bytes, and in the words of llhttp. */
export interface ParserError extends NodeJS.ErrnoException {
  readonly bytesParsed?: number;
  readonly rawPacket?: Buffer;
  readonly reason?: string;
}

/** Codes of requests that are refused: of llhttp, but for a disconnect, and of node:http. */
const REFUSED = /^(?:HPE_(?!INVALID_EOF_STATE)|ERR_HTTP_REQUEST_TIMEOUT)/;

const REQUEST_LINE = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+ [\x21-\x7e]+ HTTP\/1\.[01]\r?$/;

function refusalOf({ code, bytesParsed = 0, rawPacket }: ParserError): Refusal {
  if (code === 'HPE_INVALID_METHOD' && rawPacket) {
    // llhttp has a list of methods and stops within the first other one.
    const start = rawPacket.lastIndexOf('\n', bytesParsed) + 1;
    const end = rawPacket.indexOf('\n', start);
    const line = rawPacket.toString('latin1', start, end === -1 ? undefined : end);
    if (REQUEST_LINE.test(line)) return REFUSALS.unknownMethod;
  }
  return REFUSAL_BY_CODE[code ?? ''] ?? REFUSALS.malformed;
}

/** Errors of the parser of node:http; all others are malformed requests. */
const REFUSAL_BY_CODE: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: REFUSALS.headers,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: REFUSALS.chunkExtension,
  HPE_PAUSED_H2_UPGRADE: REFUSALS.version,
  ERR_HTTP_REQUEST_TIMEOUT: REFUSALS.timeout,
};
