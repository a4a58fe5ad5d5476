import { get } from 'node:http';
import { connect } from 'node:net';
import type { Readiness } from '@ephemera/domain';
import type { Probe } from '@ephemera/lifecycle';

/** How long one attempt may take, milliseconds. */
const ATTEMPT = 2_000;

/** Asks once whether an instance serves: its port accepts, or its path answers as it should. */
export const probe: Probe = (instance, address) => {
  if (address === '') return Promise.resolve(false);
  const { ready, port } = instance.template;
  return ready.kind === 'tcp' ? accepts(address, port) : answers(address, port, ready);
};

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: ATTEMPT });
    const end = (serves: boolean) => {
      socket.destroy();
      resolve(serves);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}

function answers(
  host: string,
  port: number,
  { path, status }: Extract<Readiness, { kind: 'http' }>,
): Promise<boolean> {
  return new Promise((resolve) => {
    // By the clock, not by silence: a head that trickles in must not hold a start for ever.
    const signal = AbortSignal.timeout(ATTEMPT);
    const request = get({ host, port, path, agent: false, signal }, (response) => {
      const code = response.statusCode ?? 0;
      response.destroy();
      resolve(status.some(([from, to]) => code >= from && code <= to));
    });
    request.on('error', () => resolve(false));
    // The only event after an unasked change of protocols.
    request.once('close', () => resolve(false));
  });
}
