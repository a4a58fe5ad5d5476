import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A webhook receiver. */
export interface Receiver {
  readonly port: number;
  /** Number of deliveries of each event, by event id. */
  readonly received: ReadonlyMap<string, number>;
  stop(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const received = new Map<string, number>();
  const server = createServer((req, res) => {
    const seq = String(req.headers['webhook-id']);
    req.resume().once('end', () => {
      received.set(seq, (received.get(seq) ?? 0) + 1);
      res.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    received,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
