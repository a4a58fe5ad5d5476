import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { pipeline, Writable } from 'node:stream';
import { ApiError } from '@ephemera/domain';
import httpProxy from 'http-proxy';
import { ResponseWriter } from './response-writer.ts';
import type { DataPathContext } from './context.ts';
import { rewriteResponse } from './rewrite-response.ts';
import type { Destination } from './upstream-attempt.ts';
import { responseForSocket } from './response-for-socket.ts';
import { TunnelAgent } from './tunnel-agent.ts';
import { stripHopByHop, parseFields, toHeaders } from './hop-by-hop.ts';
import {
  type InboundRequest,
  rewriteContextOf,
  upstreamLines,
  upstreamTarget,
} from './inbound-request.ts';
import { UpstreamConnectError } from './upstream/upstream-connect-error.ts';
import type { SharedReadBuffer } from './upstream/shared-read-buffer.ts';
import { accepts } from './websocket-handshake.ts';
import { dropContentLength } from './drop-content-length.ts';

const MAX_INFORMATIONAL = 16;
/** How often a live connection is asked whether the other side is still there. */
const KEEPALIVE_DELAY_MS = 30_000;

/** A client's side of an upgrade. */
export interface Upgrade {
  readonly req: IncomingMessage;
  readonly socket: Socket;
  /** What came behind the handshake already. */
  readonly head: Buffer;
  readonly inbound: InboundRequest;
  /** Called once the socket is to be read as any other: until then it ends when its client does. */
  readonly onJoin: () => void;
}

export type TunnelError = 'unreachable' | 'superseded' | 'silent' | 'unconfirmed';

/** What http-proxy does once the instance has switched protocols. */
type Join = (response: IncomingMessage, upstream: Socket, head: Buffer) => void;

/**
 * Joins a client to an instance once that has switched protocols. http-proxy sends the handshake,
 * writes the 101 and pipes. What it leaves open is closed here: it would make paths and headers
 * its own, frame other answers wrongly, believe any 101, wait for ever, and let one side live on
 * when the other has died.
 *
 * @param limits how long the instance may be silent, and the client take nothing of an answer
 * @param onOpen called when bytes flow both ways
 * @param onFault called once at most, while nothing has been answered
 */
export function openTunnel(
  upgrade: Upgrade,
  destination: Destination,
  limits: Pick<DataPathContext, 'responseTimeout' | 'clientTimeout'>,
  onOpen: () => void,
  onError: (fault: TunnelError) => void,
): void {
  const { req, socket, inbound } = upgrade;
  const { readBuffer, request } = sendHandshake(upgrade, destination);
  const [join] = request.listeners('upgrade') as [Join];
  for (const event of ['upgrade', 'response', 'error']) request.removeAllListeners(event);

  const leave = () => request.destroy();
  const timer = Number.isFinite(limits.responseTimeout)
    ? setTimeout(() => fail('silent'), limits.responseTimeout)
    : undefined;
  let resolution = false;
  const settle = () => {
    resolution = true;
    clearTimeout(timer);
    socket.off('close', leave);
  };
  const fail = (fault: TunnelError) => {
    if (resolution) return;
    settle();
    request.destroy();
    if (!socket.destroyed) onError(fault);
  };

  socket.once('close', leave);
  request.on('error', (error) => fail(errorKindOf(error)));
  let informational = 0;
  request.on('information', () => {
    if (++informational > MAX_INFORMATIONAL) fail('unreachable');
  });
  request.once('response', (response) => {
    if (resolution) return;
    if (!isForwardable(response)) {
      fail('unreachable');
      return;
    }
    settle();
    sendUpgradeRefusal(upgrade, destination, response, limits.clientTimeout);
  });
  request.once('upgrade', (response, upstream: Socket, head) => {
    if (resolution || !accepts(response.headers, req.headers['sec-websocket-key'])) {
      upstream.destroy();
      fail('unreachable');
      return;
    }
    settle();
    const fields = rewriteResponse(
      dropContentLength(stripHopByHop(response.rawHeaders)),
      rewriteContextOf(inbound, destination.route, destination.port),
    );
    response.headers = { ...toHeaders(fields), connection: 'Upgrade', upgrade: 'websocket' };
    upgrade.onJoin();
    // Node reads fields as latin1, and http-proxy writes them as what the socket takes text for.
    socket.setDefaultEncoding('latin1');
    join(response, upstream, head);
    readBuffer.onChunk = forwardTo(socket, upstream);
    destroyTogether(socket, upstream);
    onOpen();
  });
}

/** Has http-proxy send the handshake, with the target and the headers of this data path. */
function sendHandshake(
  { req, socket, head, inbound }: Upgrade,
  { pool, port, route }: Destination,
): { request: ClientRequest; readBuffer: SharedReadBuffer } {
  const own = 'connection: Upgrade\r\nupgrade: websocket\r\n';
  const lines = upstreamLines(inbound, route, port) + own;
  const headers = { value: toHeaders(parseFields(lines)) };
  const proxy = httpProxy.createProxyServer();
  proxy.on('error', () => undefined);
  const tunnelAgent = new TunnelAgent(pool, port);
  let sent: ClientRequest | undefined;
  proxy.once('proxyReqWs', (request) => {
    request.path = upstreamTarget(inbound, route);
    sent = request;
  });
  proxy.ws(Object.create(req, { headers }) as IncomingMessage, socket, head, {
    target: { protocol: 'http:', host: route.address, port },
    agent: tunnelAgent,
    // Both keep http-proxy from reading the target, which it would rewrite.
    toProxy: true,
    ignorePath: true,
  });
  if (!sent) throw new Error('http-proxy sent no handshake');
  return { request: sent, readBuffer: tunnelAgent.readBuffer };
}

/**
 * Writes what arrives from the instance to the client at once, past the pipe that http-proxy has
 * laid: the pipe stays for what came with the 101, and for the end.
 */
function forwardTo(client: Socket, upstream: Socket): (data: Buffer) => boolean {
  const resume = () => upstream.resume();
  return (data) => {
    const copy = Buffer.from(data);
    // What waits in the pipe came before.
    if (upstream.readableLength > 0) return upstream.push(copy);
    const more = client.write(copy);
    if (!more) client.once('drain', resume);
    return more;
  };
}

/** What may stand in a status line (RFC 9112 4): Node reads more than it would write. */
const REASON = /^[\t\x20-\x7e\x80-\xff]*$/;

function isForwardable({ statusCode = 0, statusMessage = '' }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode <= 999 && REASON.test(statusMessage);
}

/**
 * Passes an answer that refuses to switch protocols as any other answer is passed: a client that
 * does not take it is cut off after `clientTimeout`, ms.
 */
function sendUpgradeRefusal(
  { req, socket, inbound }: Upgrade,
  { route, port }: Destination,
  response: IncomingMessage,
  clientTimeout: number,
): void {
  const { statusCode = 502, statusMessage } = response;
  const input = stripHopByHop(response.rawHeaders);
  const fields = rewriteResponse(
    statusCode === 204 ? dropContentLength(input) : input,
    rewriteContextOf(inbound, route, port),
  );
  const res = responseForSocket(socket, req);
  res.writeHead(statusCode, statusMessage, fields as string[]);
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
    if (error) writer.abort();
  });
}

/** Has each side end with the other: in order where it ended in order, else at once. */
function destroyTogether(socket: Socket, other: Socket): void {
  for (const [from, to] of [
    [socket, other],
    [other, socket],
  ] as const) {
    from.setKeepAlive(true, KEEPALIVE_DELAY_MS);
    from.on('error', () => from.destroy());
    from.once('close', () => {
      if (!from.readableEnded) to.destroy();
      else to.destroySoon();
    });
  }
}

function errorKindOf(error: Error): TunnelError {
  if (error instanceof ApiError) return 'unconfirmed';
  return error instanceof UpstreamConnectError ? error.kind : 'unreachable';
}
