import { connect } from 'node:net';
import {
  descriptors,
  type Random,
  randomFrom,
  residentMegabytes,
  waitFor,
} from '@ephemera/test-support';
import { type Testbed, type Replica, startTestbed } from '../testbed.ts';
import { newEchoInstance, type PlainInstance } from '../plain-instance.ts';
import { HANDSHAKE } from '../restart/watched-tunnel.ts';

export interface AbortsResult {
  readonly aborts: number;
  readonly descriptorsBefore: number;
  readonly descriptorsAfter: number;
  /** Open connections at the instance. */
  readonly upstreamLeft: number;
  /** Heap after a garbage collection, MiB: after the warm-up, and at the end. */
  readonly heapBefore: number;
  readonly heapAfter: number;
  readonly residentBefore: number;
  readonly residentAfter: number;
}

const CONCURRENCY = 50;

/** Clients that disconnect before a response, during one, and during and after a handshake. */
export async function aborts(count: number): Promise<AbortsResult> {
  const testbed = await startTestbed();
  const instance = await newEchoInstance();
  try {
    return await abortOn(testbed, instance, count);
  } finally {
    instance.stop();
    await testbed.stop();
  }
}

async function abortOn(
  testbed: Testbed,
  instance: PlainInstance,
  count: number,
): Promise<AbortsResult> {
  const id = await testbed.ready({ port: instance.port });
  const hook = new URL('./print-heap.ts', import.meta.url).href;
  const replica = await testbed.replica({ nodeArgs: ['--expose-gc', '--import', hook] });
  const random = randomFrom(1);
  const atRest = descriptors(replica.pid);
  // The first requests warm up the process: code is compiled, and pools and buffers grow.
  await abortAll(replica, id, Math.ceil(count / 5), random);
  await settled(replica, instance, atRest);
  const heapBefore = await heapOf(replica);
  const residentBefore = residentMegabytes(replica.pid);
  await abortAll(replica, id, count, random);
  await settled(replica, instance, atRest);
  return {
    aborts: count,
    descriptorsBefore: atRest,
    descriptorsAfter: descriptors(replica.pid),
    upstreamLeft: await instance.connections(),
    heapBefore,
    heapAfter: await heapOf(replica),
    residentBefore,
    residentAfter: residentMegabytes(replica.pid),
  };
}

async function settled(replica: Replica, instance: PlainInstance, atRest: number): Promise<void> {
  await waitFor('every connection to close', async () => {
    return descriptors(replica.pid) <= atRest && (await instance.connections()) === 0;
  });
}

async function abortAll(replica: Replica, id: string, count: number, random: Random) {
  let next = 0;
  const work = async () => {
    while (next++ < count) await abortOne(replica.publicPort, id, random);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
}

async function abortOne(port: number, id: string, random: Random): Promise<void> {
  const wanted = ['never', 'slow', 'big', '', 'upgrade', 'upload'][random(6)] ?? '';
  const path = `/demo/${id}/${wanted}`;
  const host = 'HTTP/1.1\r\nHost: a.example\r\n';
  const bytes =
    wanted === 'upload'
      ? `POST ${path} ${host}Content-Length: 1000000\r\n\r\n${'x'.repeat(50_000)}`
      : `GET ${path} ${host}${wanted === 'upgrade' ? HANDSHAKE : ''}\r\n`;
  const socket = connect({ port, host: '127.0.0.1' });
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const leave = () => (random(2) === 0 ? socket.resetAndDestroy() : socket.destroy());
  socket.on('connect', () => {
    socket.write(bytes);
    setTimeout(leave, random(30));
  });
  socket.resume();
  socket.on('error', () => socket.destroy());
  socket.on('close', () => resolve(undefined));
  await promise;
}

async function heapOf(replica: Replica): Promise<number> {
  const reported = () => [...replica.log().matchAll(/^heap after collection: ([\d.]+) MiB$/gm)];
  const before = reported().length;
  replica.signal('SIGUSR2');
  await waitFor('the heap size', () => reported().length > before);
  return Number(reported().at(-1)?.[1]);
}
