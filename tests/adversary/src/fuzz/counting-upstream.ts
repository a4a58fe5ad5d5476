import { randomInt } from 'node:crypto';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type Arrived, readCanonical } from './canonical.ts';

export interface CountingUpstream {
  /** A loopback address of its own, so that no other process of this machine sends it requests. */
  readonly address: string;
  readonly port: number;
  /** Ends every connection in order, so that no further bytes of a response follow. */
  endAll(): void;
  stop(): void;
}

export interface UpstreamListener {
  /** Called when the head of a request is complete. */
  onHead(head: string): void;
  /** Called when a request is complete. Returns the response, in latin1. */
  onRequest(request: Arrived): string;
  /** Called when the bytes can be read in two ways. */
  onAmbiguity(what: string): void;
}

/**
 * Starts a server in place of a container. It accepts only the canonical form, and counts requests.
 */
export async function startCountingUpstream(listener: UpstreamListener): Promise<CountingUpstream> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    let rest = '';
    let isHeadCounted = false;
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    socket.on('data', (data) => {
      const stream = readCanonical(rest + data.toString('latin1'));
      rest = stream.rest;
      for (const request of stream.arrived) {
        if (!isHeadCounted) listener.onHead(request.head);
        isHeadCounted = false;
        if (socket.writable) socket.write(listener.onRequest(request), 'latin1');
      }
      const end = rest.indexOf('\r\n\r\n');
      if (end !== -1 && !isHeadCounted && stream.ambiguity === undefined) {
        isHeadCounted = true;
        listener.onHead(rest.slice(0, end));
      }
      if (stream.ambiguity === undefined) return;
      listener.onAmbiguity(stream.ambiguity);
      socket.destroy();
    });
  });
  const address = `127.${[0, 1, 2].map(() => randomInt(2, 255)).join('.')}`;
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return {
    address,
    port: (server.address() as AddressInfo).port,
    endAll() {
      for (const socket of sockets) socket.end();
    },
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
