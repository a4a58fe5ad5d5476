import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Relays the connections of one replica to Redis, and can hold back what Redis sends. */
export interface Relay {
  readonly port: number;
  /** Holds back all invalidations until `release`. */
  hold(): void;
  /** Holds back all replies too: Redis is unavailable for this replica only. */
  holdAll(): void;
  release(): void;
  stop(): void;
}

interface Link {
  readonly near: Socket;
  readonly far: Socket;
  tracks: boolean;
}

export async function startRelay(redisPort: number): Promise<Relay> {
  const links = new Set<Link>();
  let held: 'nothing' | 'tracking' | 'all' = 'nothing';
  const isHeld = (link: Link) => held === 'all' || (held === 'tracking' && link.tracks);
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port: redisPort, host: '127.0.0.1', noDelay: true });
    const link: Link = { near, far, tracks: false };
    links.add(link);
    near.on('data', (data) => {
      if (!link.tracks && data.includes('TRACKING')) link.tracks = true;
      far.write(data);
      if (isHeld(link)) far.pause();
    });
    far.on('data', (data) => near.write(data));
    if (isHeld(link)) far.pause();
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        links.delete(link);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const apply = () => {
    for (const link of links) {
      if (isHeld(link)) link.far.pause();
      else link.far.resume();
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
      for (const { near, far } of links) {
        near.destroy();
        far.destroy();
      }
    },
  };
}
