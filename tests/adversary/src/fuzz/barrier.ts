import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { newId } from '@ephemera/domain';
import type { Testbed } from '../testbed.ts';
import { newEchoInstance } from '../plain-instance.ts';

/** Waits until a proxy has processed everything that it received. */
export interface Barrier {
  /**
   * Resolves once the proxy has read all bytes that were sent before the call, has sent its
   * requests to Redis and to instances, and has forwarded the responses that had arrived.
   */
  pass(port: number): Promise<void>;
  stop(): void;
}

const ROUNDS = 2;
const TIMEOUT_MS = 30_000;

/**
 * Opens a new connection, which the proxy accepts after all earlier ones. One request on it makes
 * the proxy query Redis, another one makes it contact an instance. Everything sent before takes the
 * same path ahead of them.
 */
export async function startBarrier(testbed: Testbed): Promise<Barrier> {
  const instance = await newEchoInstance();
  const id = await testbed.ready({ port: instance.port });
  return {
    async pass(port) {
      for (let round = 0; round < ROUNDS; round++) await ask(port, [newId(randomBytes), id]);
    },
    stop: () => instance.stop(),
  };
}

/** Requests one id after another on a new connection, and waits for each response. */
async function ask(port: number, ids: readonly string[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const timeout = setTimeout(() => reject(new Error('the proxy does not answer')), TIMEOUT_MS);
  let answered = 0;
  const next = () => {
    const id = ids[answered];
    if (id === undefined) resolve(undefined);
    else socket.write(`GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n\r\n`);
  };
  socket.on('connect', next);
  socket.on('data', (data) => {
    if (!data.includes('HTTP/1.1 ')) return;
    answered++;
    next();
  });
  socket.on('error', reject);
  socket.on('close', () => reject(new Error('the proxy closed the connection of the barrier')));
  try {
    await promise;
  } finally {
    clearTimeout(timeout);
    socket.destroy();
  }
}
