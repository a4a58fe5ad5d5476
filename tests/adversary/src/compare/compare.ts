import { createServer, type AddressInfo, type Socket } from 'node:net';
import { readCanonical } from '../fuzz/canonical.ts';
import { exchange, statusesIn } from '../fuzz/exchange.ts';
import { requestCase } from '../fuzz/fuzz-requests.ts';
import { MORE_REQUESTS, REQUESTS } from '../fuzz/requests.ts';
import { startTestbed } from '../testbed.ts';
import { startPlainHaproxy, startPlainNginx } from './contenders.ts';

/** How a proxy treats some bytes: the final statuses, and how many requests it forwarded. */
export interface Verdict {
  readonly statuses: readonly string[];
  readonly forwarded: number;
}

export interface Compared {
  readonly name: string;
  readonly ephemera: Verdict;
  readonly haproxy: Verdict;
  readonly nginx: Verdict;
}

/** An exchange ends after this time without data, ms. */
const QUIET = 700;
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/**
 * Responds to each request, and counts complete ones. A proxy that aborts a request withdraws it.
 */
async function startLenientUpstream() {
  const state = { requests: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    let rest = '';
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (data) => {
      const stream = readCanonical(rest + data.toString('latin1'));
      rest = stream.ambiguity === undefined ? stream.rest : '';
      // Bytes that are not in canonical form were forwarded all the same.
      const count = stream.arrived.length + (stream.ambiguity === undefined ? 0 : 1);
      state.requests += count;
      for (let i = 0; i < count; i++) socket.write(OK);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.1.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    state,
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

type Upstream = Awaited<ReturnType<typeof startLenientUpstream>>;

/** Sends the same bytes to Ephemera, haproxy and nginx: every sample, then mutations of them. */
export async function compare(mutations: number, seed: number): Promise<Compared[]> {
  const upstreams = await Promise.all([1, 2, 3].map(startLenientUpstream));
  const [behindEphemera, behindHaproxy, behindNginx] = upstreams;
  const testbed = await startTestbed();
  try {
    if (!behindEphemera || !behindHaproxy || !behindNginx) throw new Error('no upstream');
    const id = await testbed.ready({ port: behindEphemera.port });
    const ephemera = await testbed.replica();
    const haproxy = await startPlainHaproxy(behindHaproxy.port);
    const nginx = await startPlainNginx(behindNginx.port);
    const verdictOf = async (port: number, upstream: Upstream, bytes: string): Promise<Verdict> => {
      const before = upstream.state.requests;
      const received = await exchange(port, bytes, 0, QUIET);
      return { statuses: statusesIn(received), forwarded: upstream.state.requests - before };
    };
    const item = async (name: string, bytes: string): Promise<Compared> => {
      const [ours, haproxys, nginxs] = await Promise.all([
        verdictOf(ephemera.publicPort, behindEphemera, bytes),
        verdictOf(haproxy.port, behindHaproxy, bytes),
        verdictOf(nginx.port, behindNginx, bytes),
      ]);
      return { name, ephemera: ours, haproxy: haproxys, nginx: nginxs };
    };
    const results: Compared[] = [];
    try {
      for (const [name, bytes] of Object.entries({ ...REQUESTS, ...MORE_REQUESTS })) {
        results.push(await item(name, bytes(`/demo/${id}/x`)));
      }
      for (let number = 0; number < mutations; number++) {
        results.push(await item(`mutation ${number}`, requestCase(seed, number, id)));
      }
    } finally {
      await haproxy.stop();
      await nginx.stop();
    }
    return results;
  } finally {
    for (const upstream of upstreams) upstream.stop();
    await testbed.stop();
  }
}

/** Returns whether Ephemera forwards more than both of the others. */
export function isLaxer({ ephemera, haproxy, nginx }: Compared): boolean {
  return ephemera.forwarded > Math.max(haproxy.forwarded, nginx.forwarded);
}
