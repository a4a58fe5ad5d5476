import { createHash } from 'node:crypto';
import {
  Agent as HttpAgent,
  type ClientRequest,
  type ClientRequestArgs,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type InformationEvent,
} from 'node:http';
import type { Socket } from 'node:net';
import { type Duplex, pipeline, Writable } from 'node:stream';
import type { Logger } from '@ephemera/process';
import httpProxy from 'http-proxy';
import { responseForSocket } from './early-response.ts';
import {
  dropContentLength,
  parseFields,
  stripHopByHop,
  toHeaders,
  upgradeRequired,
} from './header-fields.ts';
import { TUNNEL_PROBE_AFTER_MS } from './limits.ts';
import { ResponseWriter } from './response-writer.ts';
import { rewriteResponse } from './rewrite-response.ts';
import type { Upstream } from './routed-request.ts';
import {
  type InboundRequest,
  rewriteContextOf,
  upstreamLines,
  upstreamTarget,
} from './upstream-request.ts';
import { SharedReadBuffer, UpstreamError } from './upstream/connection.ts';
import { InformationalBudget } from './upstream/informational-budget.ts';

/** A client's side of a handshake. */
export interface Handshake {
  readonly req: IncomingMessage;
  readonly socket: Socket;
  /** Bytes that arrived behind the handshake. */
  readonly head: Buffer;
  readonly request: InboundRequest;
}

/** Events of a handshake. At most one of `onOpen`, `onError` and `onAbort` is called. */
export interface HandshakeListener {
  /** The instance has switched protocols; the client's socket is about to be read. */
  onSwitch(): void;
  /** Bytes flow both ways. */
  onOpen(): void;
  /** The instance has refused the handshake with this status, and its response begins. */
  onRefusal(status: number): void;
  /** Nothing was sent to the client. Not called if the client has disconnected. */
  onError(error: UpstreamError): void;
  /** The instance has refused the handshake, and its response was cut off. */
  onAbort(error: UpstreamError): void;
}

/** Timeouts, ms, `Infinity` for none; and the limit of a response head, bytes. */
interface TunnelLimits {
  readonly responseTimeout: number;
  readonly clientTimeout: number;
  readonly maxResponseHead: number;
}

/**
 * The listener by which http-proxy joins both sockets after the instance has switched protocols.
 */
type Join = (response: IncomingMessage, upstream: Socket, head: Buffer) => void;

/**
 * Opens WebSocket tunnels with one long-lived http-proxy server. http-proxy sends the handshake
 * through the upstream pool and, after the 101, joins the two sockets. Everything else is done here:
 * other responses, errors, timeouts, the check of the 101, and the end of the tunnel (ADR 1).
 */
export class WebSocketTunnels {
  readonly #proxy = httpProxy.createProxyServer();
  readonly #limits: TunnelLimits;
  /** The target, and then the request, of the current call of `ws`, which is synchronous. */
  #target = '';
  #sent: ClientRequest | undefined;

  constructor(limits: TunnelLimits, logger: Pick<Logger, 'debug'>) {
    this.#limits = limits;
    this.#proxy.on('proxyReqWs', (request) => {
      request.path = this.#target;
      // node:http reads both when the request gets its socket. http-proxy has no option for them.
      request.maxHeadersCount = 0;
      (request as { maxHeaderSize?: number }).maxHeaderSize = limits.maxResponseHead;
      this.#sent = request;
    });
    // Only errors of joined sockets arrive here: either socket closes the other one.
    this.#proxy.on('error', (error) => logger.debug({ err: error }, 'tunnel closed by an error'));
  }

  open(handshake: Handshake, upstream: Upstream, listener: HandshakeListener): void {
    const { req, socket, request: inbound } = handshake;
    const { responseTimeout, clientTimeout } = this.#limits;
    const { buffer, request } = this.#sendHandshake(handshake, upstream);
    const [join] = request.listeners('upgrade') as [Join];
    for (const event of ['upgrade', 'response', 'error']) request.removeAllListeners(event);

    const cancel = () => request.destroy();
    const timer = Number.isFinite(responseTimeout)
      ? setTimeout(() => fail(new UpstreamError('silent', 'response_timeout')), responseTimeout)
      : undefined;
    let isSettled = false;
    const settle = () => {
      isSettled = true;
      clearTimeout(timer);
      socket.off('close', cancel);
    };
    const fail = (error: UpstreamError) => {
      if (isSettled) return;
      settle();
      request.destroy();
      if (!socket.destroyed) listener.onError(error);
    };

    socket.once('close', cancel);
    request.on('error', (error) => fail(toUpstreamError(error)));
    let informational: InformationalBudget | undefined;
    request.on('information', (response: InformationEvent) => {
      timer?.refresh();
      informational ??= new InformationalBudget();
      if (!informational.take(headLength(response))) {
        fail(new UpstreamError('broken', 'too_many_informational'));
      }
    });
    /** Translates the fields of a response. A bug there must not end the process. */
    const translate = (fields: readonly string[]): readonly string[] | undefined => {
      try {
        return rewriteResponse(fields, rewriteContextOf(inbound, upstream.route, upstream.port));
      } catch (error) {
        fail(new UpstreamError('internal', 'internal', error));
        return undefined;
      }
    };
    request.once('response', (response) => {
      if (isSettled) return;
      if (!hasWritableStatus(response)) {
        fail(new UpstreamError('broken', 'bad_status_line'));
        return;
      }
      const endToEnd = stripHopByHop(response.rawHeaders);
      const fields = translate(
        response.statusCode === 204 ? dropContentLength(endToEnd) : endToEnd,
      );
      if (fields === undefined) return;
      settle();
      listener.onRefusal(response.statusCode ?? 0);
      forwardResponse(handshake, response, fields, { clientTimeout, listener });
    });
    request.once('upgrade', (response, upstreamSocket: Socket, head) => {
      const mismatch = isSettled
        ? undefined
        : mismatchOf(response.headers, req.headers['sec-websocket-key']);
      if (isSettled || mismatch) {
        upstreamSocket.destroy();
        if (mismatch) fail(new UpstreamError('broken', mismatch));
        return;
      }
      const fields = translate(dropContentLength(stripHopByHop(response.rawHeaders)));
      if (fields === undefined) {
        upstreamSocket.destroy();
        return;
      }
      settle();
      response.headers = { ...toHeaders(fields), connection: 'Upgrade', upgrade: 'websocket' };
      listener.onSwitch();
      // node:http reads fields as latin1; http-proxy writes them in the socket's default encoding.
      socket.setDefaultEncoding('latin1');
      join(response, upstreamSocket, head);
      buffer.onChunk = writerTo(socket, upstreamSocket);
      closeTogether(socket, upstreamSocket);
      listener.onOpen();
    });
  }

  /** Has http-proxy send the handshake, with the target and the headers of this data plane. */
  #sendHandshake(
    { req, socket, head, request: inbound }: Handshake,
    { pool, port, route }: Upstream,
  ): { request: ClientRequest; buffer: SharedReadBuffer } {
    const own = 'connection: Upgrade\r\nupgrade: websocket\r\n';
    const lines = upstreamLines(inbound, route, port) + own;
    const headers = { value: toHeaders(parseFields(lines)) };
    const agent = new PoolAgent(pool, port);
    this.#target = upstreamTarget(inbound, route);
    this.#sent = undefined;
    this.#proxy.ws(Object.create(req, { headers }) as IncomingMessage, socket, head, {
      target: { protocol: 'http:', host: route.address, port },
      agent,
      // Both keep http-proxy from parsing the target, which it would rewrite.
      toProxy: true,
      ignorePath: true,
    });
    const request = this.#sent as ClientRequest | undefined;
    if (!request) throw new Error('http-proxy did not send the handshake');
    return { request, buffer: agent.buffer };
  }
}

/** Gives http-proxy its one socket from the upstream pool; half-open sockets are allowed. */
class PoolAgent extends HttpAgent {
  /** Receives the bytes of the instance. Until the tunnel is open they go to the socket. */
  readonly buffer = new SharedReadBuffer();
  readonly #pool: Upstream['pool'];
  readonly #port: number;

  constructor(pool: Upstream['pool'], port: number) {
    super({ keepAlive: false });
    this.#pool = pool;
    this.#port = port;
  }

  override createConnection(
    _options: ClientRequestArgs,
    callback: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    this.#pool.open(this.#port, this.buffer, true).then(
      (socket) => {
        this.#pool.hold(socket);
        // http-proxy sets both only after the handshake. Properties that are added to a socket so
        // late give it one more hidden class, and V8 optimises a call site for four.
        socket.setTimeout(0).setKeepAlive(true);
        this.buffer.onChunk = (data) => socket.push(Buffer.from(data));
        callback(null, socket);
      },
      // The type of the callback requires a socket even with an error.
      (error: unknown) => callback(error as Error, undefined as unknown as Duplex),
    );
  }
}

/**
 * Writes the instance's bytes to the client, past the pipe of http-proxy. That pipe forwards what
 * arrived with the 101, and the end.
 */
function writerTo(client: Socket, upstream: Socket): (data: Buffer) => boolean {
  const resume = () => upstream.resume();
  return (data) => {
    const copy = Buffer.from(data);
    // Bytes that wait in the pipe are older.
    if (upstream.readableLength > 0) return upstream.push(copy);
    const more = client.write(copy);
    if (!more) client.once('drain', resume);
    return more;
  };
}

const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/**
 * Why a 101 does not accept this key (RFC 6455 section 4.2.2); undefined if it does. Only then do both
 * sides speak frames.
 */
function mismatchOf(
  headers: IncomingHttpHeaders,
  key: string | undefined,
): 'wrong_upgrade' | 'handshake_rejected' | undefined {
  if (headers.upgrade?.toLowerCase() !== 'websocket') return 'wrong_upgrade';
  const expected = createHash('sha1')
    .update(`${key ?? ''}${WEBSOCKET_GUID}`)
    .digest('base64');
  return headers['sec-websocket-accept'] === expected ? undefined : 'handshake_rejected';
}

/** Bytes of a response head that node:http has parsed, without optional whitespace. */
function headLength({ statusMessage, rawHeaders }: InformationEvent): number {
  const line = `HTTP/1.1 100 ${statusMessage}\r\n`.length;
  return rawHeaders.reduce((sum, part) => sum + part.length + 2, line + 2);
}

/** A reason phrase that node:http can write (RFC 9112 section 4). It parses more than that. */
const REASON_PHRASE = /^[\t\x20-\x7e\x80-\xff]*$/;

function hasWritableStatus({ statusCode = 0, statusMessage = '' }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode <= 999 && REASON_PHRASE.test(statusMessage);
}

/** Forwards a response other than 101. A client that does not accept it is cut off. */
function forwardResponse(
  { req, socket }: Handshake,
  response: IncomingMessage,
  fields: readonly string[],
  { clientTimeout, listener }: { clientTimeout: number; listener: HandshakeListener },
): void {
  const { statusCode = 502, statusMessage, headers } = response;
  const res = responseForSocket(socket, req);
  const required =
    statusCode === 426 && headers.upgrade !== undefined
      ? upgradeRequired(headers.upgrade, true)
      : [];
  res.writeHead(statusCode, statusMessage, [...fields, ...required]);
  const writer = new ResponseWriter(req, res);
  const client = new Writable({
    write(data: Buffer, _encoding, done) {
      if (writer.write(data, false)) done();
      else writer.whenDrained(clientTimeout, done);
    },
    final(done) {
      writer.end([], clientTimeout);
      done();
    },
  });
  res.once('close', () => client.destroy());
  pipeline(response, client, (error) => {
    if (!error) return;
    if (!socket.destroyed) listener.onAbort(toUpstreamError(error, response.complete));
    writer.abort();
  });
}

/** Closes each side with the other: after its last bytes if it ended in order, else at once. */
function closeTogether(client: Socket, upstream: Socket): void {
  for (const [from, to] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    from.setKeepAlive(true, TUNNEL_PROBE_AFTER_MS);
    from.on('error', () => from.destroy());
    from.once('close', () => {
      if (!from.readableEnded) to.destroy();
      else to.destroySoon();
    });
  }
}

/**
 * The error of a request that http-proxy has sent: of the pool, of llhttp, or of the socket.
 * @param isComplete false once a response has begun and its end is missing
 */
function toUpstreamError(error: NodeJS.ErrnoException, isComplete = true): UpstreamError {
  if (error instanceof UpstreamError) return error;
  if (error.code?.startsWith('HPE_') === true) {
    return new UpstreamError('broken', 'invalid_response', error);
  }
  // node:http reports a close without a response as a reset with this message.
  const isClose = error.message === 'socket hang up';
  if (!isComplete) return new UpstreamError('broken', 'closed_in_body', error);
  return new UpstreamError('broken', isClose ? 'connection_closed' : 'connection_error', error);
}
