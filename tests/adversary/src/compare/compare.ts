import { createServer, type AddressInfo, type Socket } from 'node:net';
import { readCanonical } from '../fuzz/canonical.ts';
import { exchange, statusesIn } from '../fuzz/exchange.ts';
import { requestCase } from '../fuzz/fuzz-requests.ts';
import { MORE_REQUESTS, REQUESTS } from '../fuzz/requests.ts';
import { startTestbed } from '../testbed.ts';
import { startPlainHaproxy, startPlainNginx } from './contenders.ts';

/** What a proxy makes of some bytes: the final statuses, and how many requests it sent on. */
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

/** How long nothing may come until nothing more is waited for, ms. */
const QUIET = 700;
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Answers each request, and counts those that have come in full: who aborts one takes it back. */
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
      // What is in no plain form was sent on all the same.
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

/** The same bytes to Ephemera, haproxy and nginx: every row, then so many mutations of them. */
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

/** Whether Ephemera sends on more than both of the others. */
export function isLaxer({ ephemera, haproxy, nginx }: Compared): boolean {
  return ephemera.forwarded > Math.max(haproxy.forwarded, nginx.forwarded);
}
