import { createServer } from 'node:https';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { HOST_FAILURE_HEADER, HOST_STREAM_PROTOCOL } from '@ephemera/lifecycle';
import { admitRequest } from './admit-request.ts';
import type { Admission, HostCall, Refusal } from './admit-request.ts';
import type { Certificate } from './certificate.ts';
import { watchProxies } from './proxy-watch.ts';

/**
 * What the worker does for one operation. A call that fails answers 500; the proxy does not learn
 * why. `stream` is for connections in both directions at once; its end closes the connection.
 */
export interface HostOperation {
  readonly answer?: (call: HostCall, req: IncomingMessage, res: ServerResponse) => Promise<void>;
  readonly stream?: (call: HostCall, stream: Duplex) => Promise<void>;
}

export interface HostInterfaceOptions extends Omit<Admission, 'worker'> {
  readonly certificate: Certificate;
  /** By name, `[a-z-]+`. */
  readonly operations: ReadonlyMap<string, HostOperation>;
}

/** Time that requests have to finish when the worker stops, ms. Streams end at once. */
const FINISH_TIMEOUT_MS = 5_000;
/** Connections, so that they cannot take the descriptors that jobs need. */
const MAX_CONNECTIONS = 4_096;
/** Longer than proxies keep an idle connection, so that they close it first; ms. */
const KEEP_ALIVE_TIMEOUT_MS = 30_000;
/** For the TLS handshake, and for the head of a request, ms. */
const HEAD_TIMEOUT_MS = 5_000;

/**
 * The server for proxies, on which a worker offers what only it can do with the containers of its
 * host. `POST /{operation}` answers a request; `GET /{operation}` with an upgrade to
 * `ephemera-stream` opens a stream. Every request needs credentials (`signHostRequest`) for exactly
 * this worker, operation, instance and generation.
 */
export function createHostInterface(options: HostInterfaceOptions): {
  readonly server: Server;
  readonly close: () => Promise<void>;
} {
  const { certificate, operations, onError } = options;
  const admission = { ...options, worker: certificate.fingerprint };
  const calls = new Map<Promise<void>, AbortController>();
  const proxies = watchProxies();
  const streams = new Set<Duplex>();
  const server = createServer({
    ...{ cert: certificate.cert, key: certificate.key, minVersion: 'TLSv1.3' },
    handshakeTimeout: HEAD_TIMEOUT_MS,
    headersTimeout: HEAD_TIMEOUT_MS,
    // Uploads and followed logs take as long as they take.
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    connectionsCheckingInterval: 1_000,
  });
  server.maxConnections = MAX_CONNECTIONS;
  // A client that fails the handshake learns nothing more.
  server.on('secureConnection', (socket) => proxies.seen(socket.remoteAddress));
  server.on('tlsClientError', () => undefined);
  server.on('clientError', (_error, socket) => socket.destroy());

  server.on('request', (req, res) => {
    const refuse = (failure: Refusal) => {
      const { status, kind, reason } = failure;
      res.writeHead(status, { [HOST_FAILURE_HEADER]: kind, connection: 'close' }).end(reason);
    };
    void track(async (controller) => {
      res.once('close', () => controller.abort());
      res.once('close', proxies.watch(req.socket));
      res.on('error', () => undefined);
      const call = await admitRequest(admission, req, controller.signal);
      if ('status' in call) {
        refuse(call);
        return;
      }
      const answer = operations.get(call.operation)?.answer;
      if (!answer) {
        refuse(UNKNOWN_OPERATION);
        return;
      }
      try {
        await answer(call, req, res);
      } catch (error) {
        if (!controller.signal.aborted) onError(error, call);
        if (res.headersSent) res.destroy();
        else res.writeHead(500, { connection: 'close' }).end();
      }
    });
  });

  server.on('upgrade', (req, socket, head) => {
    streams.add(socket);
    socket.once('close', () => streams.delete(socket));
    socket.on('error', () => undefined);
    const refuse = ({ status, kind, reason }: Refusal) => {
      const lines = [`HTTP/1.1 ${status} Refused`, `${HOST_FAILURE_HEADER}: ${kind}`];
      lines.push('connection: close', `content-length: ${reason.length}`, '', reason);
      socket.end(lines.join('\r\n'));
      socket.once('finish', () => socket.destroy());
    };
    void track(async (controller) => {
      socket.once('close', () => controller.abort());
      socket.once('close', proxies.watch(req.socket));
      const call = await admitRequest(admission, req, controller.signal);
      if ('status' in call) {
        refuse(call);
        return;
      }
      const stream = operations.get(call.operation)?.stream;
      if (!stream || req.headers.upgrade !== HOST_STREAM_PROTOCOL) {
        refuse(UNKNOWN_OPERATION);
        return;
      }
      if (head.length > 0) socket.unshift(head);
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${HOST_STREAM_PROTOCOL}\r\n\r\n`,
      );
      try {
        await stream(call, socket);
        socket.end(() => socket.destroy());
      } catch (error) {
        if (!controller.signal.aborted) onError(error, call);
        socket.destroy();
      }
    });
  });

  return {
    server,
    async close() {
      proxies.close();
      const closed = new Promise((resolve) => server.close(resolve));
      for (const stream of streams) stream.destroy();
      server.closeIdleConnections();
      const finished = Promise.all(calls.keys());
      await Promise.race([finished, sleep(FINISH_TIMEOUT_MS, undefined, { ref: false })]);
      for (const controller of calls.values()) controller.abort();
      server.closeAllConnections();
      await closed;
    },
  };

  async function track(work: (controller: AbortController) => Promise<void>): Promise<void> {
    const controller = new AbortController();
    const running = work(controller).catch((error: unknown) =>
      onError(error, { id: '', operation: '' }),
    );
    calls.set(running, controller);
    await running;
    calls.delete(running);
  }
}

const UNKNOWN_OPERATION: Refusal = {
  status: 404,
  kind: 'refused',
  reason: 'this worker has no such operation',
};
