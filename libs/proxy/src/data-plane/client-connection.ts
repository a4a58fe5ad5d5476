import type { ServerResponse } from 'node:http';
import type { BlockList, Socket } from 'node:net';
import { isTrusted, peerAddress } from '@ephemera/http';

/** Who is at the other end of a client's connection, and what has become of the connection. */
export interface ClientConnection {
  /** Address of the client, or of the load balancer before it. */
  readonly address: string;
  /** Whether what it says of the client behind it is believed. */
  readonly isTrusted: boolean;
  /** Whose word is believed. */
  readonly trusted: BlockList;
  /** A request on it was refused: whatever follows it on the connection is not looked at. */
  isRefused: boolean;
  /** The answer that was begun last; requests may be pipelined behind it. */
  answer: ServerResponse | undefined;
  /** The lines that describe it to instances, under the Host that it used last. */
  described: { readonly host: string; readonly lines: string } | undefined;
}

const kClientConnection = Symbol('peer');
type ClientSocket = Socket & { [kClientConnection]?: ClientConnection | undefined };

/** What is known of a connection; worked out once for each. */
export function clientConnectionOf(socket: Socket, trusted: BlockList): ClientConnection {
  const known = existingClientConnection(socket);
  return known ?? ((socket as ClientSocket)[kClientConnection] = inspectSocket(socket, trusted));
}

/** What is known of a connection on which a request has come in. */
export function existingClientConnection(socket: Socket): ClientConnection | undefined {
  return (socket as ClientSocket)[kClientConnection];
}

/** Whether an answer is still on its way to the client. */
export function isAnswering({ answer }: ClientConnection): boolean {
  return answer !== undefined && !answer.writableFinished;
}

function inspectSocket(socket: Socket, trusted: BlockList): ClientConnection {
  const address = peerAddress(socket.remoteAddress);
  return {
    address,
    isTrusted: isTrusted(address, trusted),
    trusted,
    isRefused: false,
    answer: undefined,
    described: undefined,
  };
}
