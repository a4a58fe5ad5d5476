import { get } from 'node:http';
import { connect } from 'node:net';
import type { Readiness } from '@ephemera/domain';
import type { Probe } from '@ephemera/lifecycle';

/** Timeout of one attempt, milliseconds. */
const ATTEMPT_TIMEOUT_MS = 2_000;

/**
 * Probes an instance once: its port accepts a connection, or its path answers with an accepted
 * status.
 */
export const probe: Probe = (instance, address) => {
  if (address === '') return Promise.resolve(false);
  const { ready, port } = instance.template;
  return ready.kind === 'tcp' ? accepts(address, port) : answers(address, port, ready);
};

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: ATTEMPT_TIMEOUT_MS });
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
    // A total timeout. With a socket idle timeout, response headers that trickle in would delay a
    // start without end.
    const signal = AbortSignal.timeout(ATTEMPT_TIMEOUT_MS);
    const request = get({ host, port, path, agent: false, signal }, (response) => {
      const code = response.statusCode ?? 0;
      response.destroy();
      resolve(status.some(([from, to]) => code >= from && code <= to));
    });
    request.on('error', () => resolve(false));
    // The only event after an unrequested `101 Switching Protocols`.
    request.once('close', () => resolve(false));
  });
}
