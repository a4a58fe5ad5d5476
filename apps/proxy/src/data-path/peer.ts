import type { ServerResponse } from 'node:http';
import { BlockList, isIP, isIPv6, type Socket } from 'node:net';

/** Who is at the other end of a client's connection, and what has become of the connection. */
export interface Peer {
  /** Address of the client, or of the load balancer before it. */
  readonly address: string;
  /** Whether what it says of the client behind it is believed. */
  readonly isTrusted: boolean;
  /** A request on it was refused: whatever follows it on the connection is not looked at. */
  isRefused: boolean;
  /** The answer that was begun last; requests may be pipelined behind it. */
  answer: ServerResponse | undefined;
  /** Requests that wait for their turn behind it. */
  waiting: number;
  /** The lines that describe it to instances, under the Host that it used last. */
  described: { readonly host: string; readonly lines: string } | undefined;
}

const kPeer = Symbol('peer');
type ClientSocket = Socket & { [kPeer]?: Peer | undefined };

/** What is known of a connection; worked out once for each. */
export function peerOf(socket: Socket, trusted: BlockList): Peer {
  const known = knownPeer(socket);
  return known ?? ((socket as ClientSocket)[kPeer] = lookAt(socket, trusted));
}

/** What is known of a connection on which a request has come in. */
export function knownPeer(socket: Socket): Peer | undefined {
  return (socket as ClientSocket)[kPeer];
}

/** Whether an answer is still on its way to the client. */
export function isAnswering({ answer }: Peer): boolean {
  return answer !== undefined && !answer.writableFinished;
}

/**
 * Reads addresses and CIDRs. @throws Error naming what is neither
 */
export function readTrusted(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    const size = family === 'ipv6' ? 128 : 32;
    const length = bits === undefined ? size : Number(bits);
    if (isIP(address) === 0 || !(Number.isInteger(length) && length >= 0 && length <= size)) {
      throw new Error(`${entry} is neither an address nor a CIDR`);
    }
    list.addSubnet(address, length, family);
  }
  return list;
}

function lookAt(socket: Socket, trusted: BlockList): Peer {
  const remote = socket.remoteAddress ?? 'unknown';
  // A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d.
  const address = remote.startsWith('::ffff:') ? remote.slice(7) : remote;
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  const isTrusted = isIP(address) !== 0 && trusted.check(address, family);
  return {
    address,
    isTrusted,
    isRefused: false,
    answer: undefined,
    waiting: 0,
    described: undefined,
  };
}
