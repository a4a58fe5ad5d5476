import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { newId } from '@ephemera/domain';
import type { Testbed } from '../testbed.ts';
import { newEchoInstance } from '../plain-instance.ts';

/** Tells when a proxy has dealt with everything that it was sent. */
export interface Pulse {
  /**
   * Resolves once the proxy has read all bytes that were sent to it before the call, asked Redis
   * and instances for what they wanted, and passed on the answers that had come by then.
   */
  beat(port: number): Promise<void>;
  stop(): void;
}

const ROUNDS = 2;
const TIMEOUT_MS = 30_000;

/**
 * A pulse is a connection that is opened behind all others, and so taken behind them, with a
 * request that makes the proxy ask Redis and one that makes it ask an instance. What was sent
 * before goes the same ways ahead of it.
 */
export async function startPulse(testbed: Testbed): Promise<Pulse> {
  const instance = await newEchoInstance();
  const id = await testbed.ready({ port: instance.port });
  return {
    async beat(port) {
      for (let round = 0; round < ROUNDS; round++) await ask(port, [newId(randomBytes), id]);
    },
    stop: () => instance.stop(),
  };
}

/** Asks for one id after the other on a connection of its own, and waits for each answer. */
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
  socket.on('close', () => reject(new Error('the proxy closed the connection of a pulse')));
  try {
    await promise;
  } finally {
    clearTimeout(timeout);
    socket.destroy();
  }
}
