import { STATUS_CODES, ServerResponse } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { NEVER_A_PAGE } from '../security-headers.ts';

// Responses that the data plane writes itself, before or instead of those of an instance.

/** Why a request is not forwarded. The connection is closed after the response. */
export interface Refusal {
  readonly kind: 'refusal';
  readonly status: number;
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const refusal = (status: number, detail: string, headers?: Refusal['headers']): Refusal => ({
  kind: 'refusal',
  status,
  detail,
  ...(headers && { headers }),
});

export const REFUSALS = {
  malformed: refusal(400, 'The request is malformed.'),
  target: refusal(400, 'The request target must be a plain path.'),
  host: refusal(400, 'Exactly one valid Host field is required.'),
  oldFraming: refusal(400, 'HTTP/1.0 does not support Transfer-Encoding.'),
  framing: refusal(400, 'Transfer-Encoding must be chunked.'),
  coding: refusal(501, 'The only supported transfer coding is chunked.'),
  method: refusal(405, 'This method is not forwarded.'),
  unknownMethod: refusal(501, 'This method is not known.'),
  timeout: refusal(408, 'The request took too long.'),
  chunkExtension: refusal(413, 'The chunk extensions are too large.'),
  expectation: refusal(417, 'The only supported expectation is 100-continue.'),
  headers: refusal(431, 'The request has too many or too large headers.'),
  version: refusal(505, 'The supported versions are HTTP/1.1 and HTTP/1.0.'),
  upgrade: refusal(400, 'The only supported upgrade is a well-formed WebSocket handshake.'),
  webSockets: refusal(503, 'This instance has too many open WebSockets. Try again later.', {
    'retry-after': '10',
  }),
  webSocketVersion: refusal(426, 'The only supported WebSocket version is 13.', {
    'sec-websocket-version': '13',
    upgrade: 'websocket',
  }),
} as const satisfies Record<string, Refusal>;

/** Refuses a request in pipeline order. */
export function refuse(req: IncomingMessage, res: ServerResponse, reason: Refusal): void {
  const body = bodyOf(reason);
  res.shouldKeepAlive = false;
  res.writeHead(reason.status, {
    ...reason.headers,
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    ...NEVER_A_PAGE,
  });
  res.end(req.method === 'HEAD' ? undefined : body);
}

/**
 * Refuses on the bare connection, where node:http has created no response object.
 * @param socket of the connection itself: for an upgrade with a body, node:http wraps it
 */
export function refuseSocket(socket: Socket, reason: Refusal): void {
  const body = bodyOf(reason);
  const headers = {
    ...reason.headers,
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    ...NEVER_A_PAGE,
    connection: 'upgrade' in (reason.headers ?? {}) ? 'close, upgrade' : 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const status = `${reason.status} ${STATUS_CODES[reason.status] ?? ''}`;
  socket.write(`HTTP/1.1 ${status}\r\n${lines.join('')}\r\n${body}`);
  socket.destroySoon();
}

function bodyOf({ status, detail }: Refusal): string {
  return JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail });
}

/**
 * A response object for a connection that node:http has handed over for an upgrade, so that a
 * response other than 101 is framed like any other. The connection is closed after it.
 */
export function responseForSocket(socket: Socket, req: IncomingMessage): ServerResponse {
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  // node:http forwards `drain` only for the connections that it has kept.
  const onDrain = () => void res.emit('drain');
  socket.on('drain', onDrain);
  res.once('finish', () => {
    socket.off('drain', onDrain);
    res.detachSocket(socket);
    socket.destroySoon();
  });
  return res;
}
