import { createHash } from 'node:crypto';
import { Agent } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import type { HostAddress } from '@ephemera/lifecycle';

/** For the connection and its TLS handshake, ms. */
const CONNECT_TIMEOUT_MS = 3_000;
/** Shorter than workers keep an idle connection; ms. */
const IDLE_TIMEOUT_MS = 15_000;
const MAX_IDLE_CONNECTIONS = 16;

/**
 * The connections to one worker. It sends nothing, not even credentials, before the worker has proved
 * that it has the registered certificate.
 */
export class WorkerAgent extends Agent {
  readonly #address: HostAddress;

  constructor(address: HostAddress) {
    super({ keepAlive: true, maxFreeSockets: MAX_IDLE_CONNECTIONS, timeout: IDLE_TIMEOUT_MS });
    this.#address = address;
  }

  get isUnused(): boolean {
    return [this.sockets, this.freeSockets, this.requests].every(
      (byName) => Object.keys(byName).length === 0,
    );
  }

  override createConnection(
    _options: unknown,
    callback: (error: Error | null, socket?: Duplex) => void,
  ): undefined {
    connectToWorker(this.#address, callback);
    return undefined;
  }
}

/** Connects to a worker. The socket is passed on once the worker has proved its certificate. */
export function connectToWorker(
  { url, fingerprint }: HostAddress,
  callback: (error: Error | null, socket?: Duplex) => void,
): void {
  const { hostname, port } = new URL(url);
  const socket = connect({
    host: hostname,
    port: Number(port),
    minVersion: 'TLSv1.3',
    // No authority has signed the certificate. Its fingerprint is compared instead.
    rejectUnauthorized: false,
  });
  socket.setNoDelay(true);
  const fail = (error: Error) => {
    clearTimeout(timer);
    socket.destroy();
    callback(error);
  };
  const timer = setTimeout(
    () => fail(new Error(`no connection within ${CONNECT_TIMEOUT_MS} ms`)),
    CONNECT_TIMEOUT_MS,
  );
  // A request that takes the connection over reports its errors.
  socket.on('error', () => undefined);
  socket.once('error', fail);
  socket.once('secureConnect', () => {
    socket.off('error', fail);
    const certificate = socket.getPeerX509Certificate();
    const actual = certificate && createHash('sha256').update(certificate.raw).digest('hex');
    if (actual !== fingerprint) {
      fail(new Error('it has another certificate than the worker has registered'));
      return;
    }
    clearTimeout(timer);
    callback(null, socket);
  });
}
