import { STATUS_CODES } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { NEVER_A_PAGE } from '../security-headers.ts';

/** An answer to a request that is not to be forwarded; the connection ends with it. */
export interface Refusal {
  readonly status: number;
  readonly detail: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const REFUSALS = {
  malformed: { status: 400, detail: 'The request is malformed.' },
  target: { status: 400, detail: 'The request target must be a plain path.' },
  host: { status: 400, detail: 'Exactly one valid Host is needed.' },
  oldFraming: { status: 400, detail: 'HTTP/1.0 has no Transfer-Encoding.' },
  framing: { status: 400, detail: 'Transfer-Encoding must be chunked.' },
  coding: { status: 501, detail: 'The only transfer coding here is chunked.' },
  method: { status: 405, detail: 'This method is not forwarded.' },
  timeout: { status: 408, detail: 'The request took too long.' },
  chunkExtension: { status: 413, detail: 'The chunk extensions are too large.' },
  expectation: { status: 417, detail: 'The only expectation here is 100-continue.' },
  headers: { status: 431, detail: 'The request has too many or too large headers.' },
  version: { status: 505, detail: 'The only versions here are HTTP/1.1 and HTTP/1.0.' },
  upgrade: { status: 400, detail: 'The only upgrade here is a well-formed WebSocket handshake.' },
  webSocketVersion: {
    status: 426,
    detail: 'The only version of WebSocket here is 13.',
    headers: { 'sec-websocket-version': '13', upgrade: 'websocket' },
  },
} as const satisfies Record<string, Refusal>;

/** Refuses a request in its turn; the connection is closed behind the answer. */
export function refuse(req: IncomingMessage, res: ServerResponse, refusal: Refusal): void {
  const body = bodyOf(refusal);
  res.shouldKeepAlive = false;
  res.writeHead(refusal.status, {
    ...refusal.headers,
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    ...NEVER_A_PAGE,
  });
  res.end(req.method === 'HEAD' ? undefined : body);
}

/** Refuses on the bare connection, where there is no response object to do it. */
export function refuseSocket(socket: Duplex, refusal: Refusal): void {
  const body = bodyOf(refusal);
  const headers = {
    ...refusal.headers,
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    ...NEVER_A_PAGE,
    connection: 'upgrade' in (refusal.headers ?? {}) ? 'close, upgrade' : 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const status = `${refusal.status} ${STATUS_CODES[refusal.status] ?? ''}`;
  socket.end(`HTTP/1.1 ${status}\r\n${lines.join('')}\r\n${body}`, () => socket.destroy());
}

function bodyOf({ status, detail }: Refusal): string {
  return JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail });
}
