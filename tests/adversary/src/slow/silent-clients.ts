import { connect } from 'node:net';
import { type ReplicaOptions, startTestbed } from '../testbed.ts';
import { newEchoInstance } from '../plain-instance.ts';

/** A client that stops: in its head, in its body, or while it reads the response. */
export const SILENCES = ['head', 'body', 'reading'] as const;
export type Silence = (typeof SILENCES)[number];

export interface SilenceResult {
  readonly kind: Silence;
  readonly connections: number;
  /** When the first and the last of them was disconnected, seconds after it stopped. */
  readonly firstCut: number;
  readonly lastCut: number;
}

/**
 * Opens connections that stop at once, and waits until the replica has closed all of them.
 * @param env settings of the replica
 */
export async function silentClients(
  kind: Silence,
  connections: number,
  env: ReplicaOptions['env'] = {},
): Promise<SilenceResult> {
  const testbed = await startTestbed();
  const instance = await newEchoInstance();
  try {
    const id = await testbed.ready({ port: instance.port });
    const { publicPort } = await testbed.replica({ env });
    const head = { head: '', body: 'Content-Length: 10\r\n\r\nhalf', reading: '\r\n' }[kind];
    const method = kind === 'body' ? 'POST' : 'GET';
    const path = `/demo/${id}/${kind === 'reading' ? 'huge' : ''}`;
    const bytes = `${method} ${path} HTTP/1.1\r\nHost: a.example\r\n${head}`;
    const cut = async () => {
      const socket = connect({ port: publicPort, host: '127.0.0.1' });
      const { promise, resolve } = Promise.withResolvers<number>();
      let silentSince = performance.now();
      socket.on('connect', () => {
        socket.write(bytes);
        silentSince = performance.now();
        if (kind === 'reading') socket.pause();
        else socket.resume();
      });
      socket.on('error', () => socket.destroy());
      socket.on('close', () => resolve((performance.now() - silentSince) / 1000));
      // A paused socket gets no end event. A write shows whether the peer is still there.
      const probe = setInterval(() => kind === 'reading' && socket.write('\r\n'), 1_000);
      const seconds = await promise;
      clearInterval(probe);
      return seconds;
    };
    const cuts = await Promise.all(Array.from({ length: connections }, cut));
    return { kind, connections, firstCut: Math.min(...cuts), lastCut: Math.max(...cuts) };
  } finally {
    instance.stop();
    await testbed.stop();
  }
}
