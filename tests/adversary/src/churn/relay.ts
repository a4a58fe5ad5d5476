import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** The way of one replica to Redis, which can lose what Redis says. */
export interface Relay {
  readonly port: number;
  /** Holds back all that is told of changes, until `release`. */
  hold(): void;
  /** Holds back every answer too: Redis is away, for this replica alone. */
  holdAll(): void;
  release(): void;
  stop(): void;
}

interface RelayedConnection {
  readonly near: Socket;
  readonly far: Socket;
  tracks: boolean;
}

export async function startRelay(redisPort: number): Promise<Relay> {
  const connections = new Set<RelayedConnection>();
  let held: 'nothing' | 'tracking' | 'all' = 'nothing';
  const isHeld = (way: RelayedConnection) => held === 'all' || (held === 'tracking' && way.tracks);
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port: redisPort, host: '127.0.0.1', noDelay: true });
    const way: RelayedConnection = { near, far, tracks: false };
    connections.add(way);
    near.on('data', (data) => {
      if (!way.tracks && data.includes('TRACKING')) way.tracks = true;
      far.write(data);
      if (isHeld(way)) far.pause();
    });
    far.on('data', (data) => near.write(data));
    if (isHeld(way)) far.pause();
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        connections.delete(way);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const apply = () => {
    for (const way of connections) {
      if (isHeld(way)) way.far.pause();
      else way.far.resume();
    }
  };
  return {
    port: (server.address() as AddressInfo).port,
    hold() {
      held = 'tracking';
      apply();
    },
    holdAll() {
      held = 'all';
      apply();
    },
    release() {
      held = 'nothing';
      apply();
    },
    stop() {
      server.close();
      for (const { near, far } of connections) {
        near.destroy();
        far.destroy();
      }
    },
  };
}
