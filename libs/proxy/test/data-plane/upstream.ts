import { type AddressInfo, createServer, type Socket } from 'node:net';

/** One connection to an upstream, and all bytes received on it. */
export interface UpstreamConnection {
  readonly socket: Socket;
  received: string;
  /** Whether the peer has closed the connection, in order or not. */
  left: boolean;
}

/** A raw TCP server in place of a container. It records everything that it receives. */
export interface Upstream {
  readonly port: number;
  readonly connections: UpstreamConnection[];
  /** All bytes over all connections, latin1. */
  readonly received: string;
  /** Request lines seen over all connections. */
  readonly requests: string[];
  stop(): Promise<void>;
}

type Behaviour = (connection: UpstreamConnection, chunk: string) => void;

/**
 * Starts an upstream on 127.0.1.1.
 * @param onData called for each received part
 * @param onOpen called for each connection
 * @param port 0 for any free port
 */
export async function startUpstream(
  onData: Behaviour,
  onOpen: (connection: UpstreamConnection) => void = () => undefined,
  port = 0,
): Promise<Upstream> {
  const connections: UpstreamConnection[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const connection: UpstreamConnection = { socket, received: '', left: false };
    connections.push(connection);
    socket.on('data', (data) => {
      const text = data.toString('latin1');
      connection.received += text;
      onData(connection, text);
    });
    socket.on('end', () => (connection.left = true));
    socket.on('error', () => (connection.left = true));
    socket.on('close', () => (connection.left = true));
    onOpen(connection);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.1.1', resolve));
  const received = () => connections.map((connection) => connection.received).join('');
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    get received() {
      return received();
    },
    get requests() {
      return received().match(/^[A-Z]+ \S+ HTTP\/1\.[01]$/gm) ?? [];
    },
    async stop() {
      for (const { socket } of connections) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Responds to every request head with these bytes, and ignores bodies. */
export function answering(answer: string): Behaviour {
  return (connection, chunk) => {
    const heads = chunk.split('\r\n\r\n').length - 1;
    for (let i = 0; i < heads; i++) connection.socket.write(answer, 'latin1');
  };
}

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
