import { connect, type Socket } from 'node:net';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { residentMegabytes } from '@ephemera/test-support';
import { newEchoInstance } from '../plain-instance.ts';
import { startTestbed } from '../testbed.ts';

export interface IdleResult {
  /** Connections that the idle client opened, and those that the replica left open. */
  readonly opened: number;
  readonly held: number;
  readonly seconds: number;
  /** Statuses for a visitor with another address: on a new connection, and on one opened before. */
  readonly visitor: number;
  readonly earlier: number;
  /** Status of /readyz on the admin port. */
  readonly readiness: number;
  /** `ephemera_connections_refused_total{reason="address"}`. */
  readonly refused: number;
  /** Log lines about refused connections. */
  readonly logLines: number;
  /** Resident memory of the replica, MiB, before and with the idle connections. */
  readonly memory: readonly [before: number, after: number];
}

/** How many connections are being opened at any time. */
const AT_ONCE = 200;

/**
 * Opens connections from 127.0.0.1 that send one request and then nothing, while a visitor has the address 127.0.0.2.
 * @param env settings of the replica
 */
export async function idleClients(
  connections: number,
  env: Readonly<Record<string, string>> = {},
): Promise<IdleResult> {
  const testbed = await startTestbed();
  const instance = await newEchoInstance();
  const open = new Set<Socket>();
  try {
    const id = await testbed.ready({ port: instance.port });
    const replica = await testbed.replica({ env });
    const visit = (socket: Socket) => statusOf(socket, `/demo/${id}/`);
    const visitorAt = () =>
      connect({ port: replica.publicPort, host: '127.0.0.1', localAddress: '127.0.0.2' });
    const early = visitorAt();
    await visit(early);
    const before = residentMegabytes(replica.pid);
    const begin = performance.now();
    let opened = 0;
    const openAll = async () => {
      while (opened < connections) {
        opened++;
        await openIdle(replica.publicPort, open);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, openAll));
    // The replica accepts connections in their order, so it has judged all others before this one.
    const visitor = await visit(visitorAt());
    await untilStable(() => open.size);
    const seconds = (performance.now() - begin) / 1000;
    const after = residentMegabytes(replica.pid);
    const admin = `http://127.0.0.1:${replica.adminPort}`;
    const authorization = `Bearer ${replica.adminToken}`;
    const metrics = await (await fetch(`${admin}/metrics`, { headers: { authorization } })).text();
    const refused = /^ephemera_connections_refused_total\{.*reason="address".*\} (\d+)$/m.exec(
      metrics,
    );
    return {
      opened,
      held: open.size,
      seconds,
      visitor,
      earlier: await visit(early),
      readiness: (await fetch(`${admin}/readyz`)).status,
      refused: Number(refused?.[1] ?? 0),
      logLines: replica.log().split('connection refused').length - 1,
      memory: [before, after],
    };
  } finally {
    for (const socket of open) socket.destroy();
    instance.stop();
    await testbed.stop();
  }
}

/** Waits until a number has not changed for half a second. */
async function untilStable(read: () => number): Promise<void> {
  for (let last = Number.NaN; last !== read();) {
    last = read();
    await sleep(500);
  }
}

/** Opens a connection, and keeps it in `open` until it ends. Resolves when it is open or refused. */
async function openIdle(port: number, open: Set<Socket>): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => open.delete(socket));
  // A refused connection is open for an instant.
  socket.resume();
  await new Promise<void>((resolve) => {
    socket.once('connect', () => {
      open.add(socket);
      socket.write('HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n');
      resolve();
    });
    socket.once('close', () => resolve());
  });
}

async function statusOf(socket: Socket, path: string): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const headers = { host: 'a', connection: 'keep-alive' };
  const req = request({ path, headers, createConnection: () => socket }, (res) => {
    res.resume().once('end', () => resolve(res.statusCode ?? 0));
  });
  req.once('error', () => resolve(0));
  req.end();
  return await promise;
}
