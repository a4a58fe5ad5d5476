import type { ServerResponse } from 'node:http';
import { type BlockList, isIP, type Socket } from 'node:net';
import { isTrusted, clientAddressBehind, peerAddress } from '@ephemera/http';
import { isIdentityField } from './header-fields.ts';

/** A client's TCP connection: its peer, and its state across requests. */
export interface ClientConnection {
  /** Address of the client, or of the load balancer in front of it. */
  readonly address: string;
  /** Whether the forwarded headers of this peer are accepted. */
  readonly isTrusted: boolean;
  /** All peers whose forwarded headers are accepted. */
  readonly trusted: BlockList;
  /** A refusal was sent or is being sent: further requests are not processed. */
  isRefused: boolean;
  /** The connection closes behind the response of this request; what follows is not processed. */
  isLast: boolean;
  /** The guarded instance that this connection has opened last with its access token. */
  openedGuarded?: string | undefined;
  /** The response that began last; pipelined requests may follow it. */
  lastResponse: ServerResponse | undefined;
  /** The forwarded header lines for the Host that was used last. */
  described: { readonly host: string; readonly lines: string } | undefined;
}

const kConnection = Symbol('connection');
type ClientSocket = Socket & { [kConnection]?: ClientConnection | undefined };

/** Returns the record of a connection. The first request creates it. */
export function connectionOf(socket: Socket, trusted: BlockList): ClientConnection {
  const known = knownConnection(socket);
  return known ?? ((socket as ClientSocket)[kConnection] = makeConnection(socket, trusted));
}

/** The record of a connection; undefined before its first request. */
export function knownConnection(socket: Socket): ClientConnection | undefined {
  return (socket as ClientSocket)[kConnection];
}

/** Whether the connection has a response that was not yet written in full. */
export function isResponding({ lastResponse }: ClientConnection): boolean {
  return lastResponse !== undefined && !lastResponse.writableFinished;
}

function makeConnection(socket: Socket, trusted: BlockList): ClientConnection {
  const address = peerAddress(socket.remoteAddress);
  return {
    address,
    isTrusted: isTrusted(address, trusted),
    trusted,
    isRefused: false,
    isLast: false,
    openedGuarded: undefined,
    lastResponse: undefined,
    described: undefined,
  };
}

/**
 * The client as a trusted load balancer describes it; repeated fields are joined (RFC 9110 5.3).
 */
export interface ForwardedHeaders {
  for: string | undefined;
  proto: string | undefined;
  host: string | undefined;
  port: string | undefined;
  prefix: string | undefined;
  realIp: string | undefined;
  /** All other X-Forwarded-* lines, as sent. */
  others: string;
  /** The lines that tell the visitor's identity, as sent. */
  identity: string;
}

export const NOTHING_FORWARDED: Readonly<ForwardedHeaders> = {
  for: undefined,
  proto: undefined,
  host: undefined,
  port: undefined,
  prefix: undefined,
  realIp: undefined,
  others: '',
  identity: '',
};

const MEMBERS: Readonly<
  Record<string, Exclude<keyof ForwardedHeaders, 'others' | 'identity'> | undefined>
> = {
  'x-forwarded-for': 'for',
  'x-forwarded-proto': 'proto',
  'x-forwarded-host': 'host',
  'x-forwarded-port': 'port',
  'x-forwarded-prefix': 'prefix',
  'x-real-ip': 'realIp',
};

/** Adds a field. */
export function collect(forwarded: ForwardedHeaders, name: string, value: string): void {
  const lower = name.toLowerCase();
  const member = MEMBERS[lower];
  if (member !== undefined) {
    const before = forwarded[member];
    forwarded[member] = before === undefined ? value : `${before}, ${value}`;
  } else if (isIdentityField(lower)) forwarded.identity += `${name}: ${value}\r\n`;
  else forwarded.others += `${name}: ${value}\r\n`;
}

/**
 * Builds the header lines that describe the client to the instance (X-Forwarded-* and X-Real-IP).
 * Values of a trusted peer are kept and extended. `Forwarded` (RFC 7239) is never sent: some
 * applications refuse a WebSocket whose `Forwarded` has a quoted host (code-server).
 *
 * @param prefix what was stripped from the visitor's path; empty if nothing was stripped
 * @param forwarded undefined if the peer is not trusted
 * @param forwardIdentity whether the instance may see who the visitor is
 */
export function forwardedLines(
  connection: ClientConnection,
  host: string,
  prefix: string,
  forwarded: Readonly<ForwardedHeaders> | undefined,
  forwardIdentity = false,
): string {
  const { address, trusted } = connection;
  if (forwarded === undefined) {
    if (connection.described?.host !== host) {
      connection.described = { host, lines: describe(address, host) };
    }
    const { lines } = connection.described;
    return prefix === '' ? lines : `${lines}x-forwarded-prefix: ${prefix}\r\n`;
  }
  const proto = forwarded.proto ?? 'http';
  const visited = forwarded.host ?? host;
  const client = clientAddressBehind(address, forwarded.for ?? forwarded.realIp, trusted);
  return (
    `x-forwarded-for: ${forwarded.for === undefined ? '' : `${forwarded.for}, `}${address}\r\n` +
    `x-real-ip: ${isIP(client) === 0 ? address : client}\r\n` +
    `x-forwarded-proto: ${proto}\r\n` +
    `x-forwarded-host: ${visited}\r\n` +
    `x-forwarded-port: ${forwarded.port ?? visitorPort(visited, proto)}\r\n` +
    forwarded.others +
    (forwardIdentity ? forwarded.identity : '') +
    (prefix === '' ? '' : `x-forwarded-prefix: ${prefix}\r\n`)
  );
}

function describe(address: string, host: string): string {
  return (
    `x-forwarded-for: ${address}\r\nx-real-ip: ${address}\r\n` +
    `x-forwarded-proto: http\r\nx-forwarded-host: ${host}\r\n` +
    `x-forwarded-port: ${visitorPort(host, 'http')}\r\n`
  );
}

/** The port of the visitor's address. Of lists, the first member is the visitor's. */
function visitorPort(hosts: string, protos: string): string {
  const [host = ''] = hosts.split(',', 1);
  const port = /^(?:\[.*\]|[^:]*):(\d{1,5})$/.exec(host.trim())?.[1];
  return port ?? (/^\s*(?:https|wss)\s*(?:,|$)/i.test(protos) ? '443' : '80');
}
