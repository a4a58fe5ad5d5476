import { Server } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { knownConnection } from './client-connection.ts';
import { type ConnectionLimits, limitConnections } from './connection-limits.ts';
import type { DataPlane } from './data-plane.ts';
import { CLIENT_KEEP_ALIVE_MS, HEADERS_TIMEOUT_MS, MAX_REQUEST_HEAD_BYTES } from './limits.ts';
import type { Refusal } from './early-response.ts';
import { type ParserError, handleClientError, refuseConnect } from './public-server.ts';

type Handler = (req: IncomingMessage, res: ServerResponse) => unknown;

export interface SharedServerOptions {
  /** All header bytes of a request, with its target; 431 beyond it. */
  readonly maxRequestHead?: number;
  readonly connections: ConnectionLimits;
  /** Handles requests on the origins of instances, which the application never sees. */
  readonly onOwnOrigin: Handler;
  /**
   * Returns why a WebSocket handshake for an instance is refused; undefined if it may proceed. Upgrades
   * do not pass the middleware of the application. Never rejects.
   */
  readonly refusalOfUpgrade: (req: IncomingMessage) => Promise<Refusal | undefined>;
}

/** The fields of a server that are settings, as `createServer` takes them. */
interface ServerSettings {
  insecureHTTPParser: boolean | undefined;
  maxHeaderSize: number | undefined;
  requireHostHeader: boolean;
  shouldUpgradeCallback: (req: IncomingMessage) => boolean;
}

/** Servers that are shared already: an override of another would see what this one must not see. */
const shared = new WeakSet<Server>();

/**
 * Prepares the server of an application that serves instances too. The parser settings are those of
 * the public port, and the request checks apply to every request of the server: requests of the
 * application and of instances share connections, so both must be framed alike.
 *
 * A request in path form reaches the application, which hands it to `forwardAdmitted`. WebSocket
 * handshakes for instances, requests on the origins of instances, CONNECT and errors of the parser
 * are handled here, before the listeners of the application. That stays so: on the origin of an
 * instance no page of the application may ever be served.
 *
 * @throws TypeError if it is not a server of node:http, listens already, or is shared already
 */
export function shareServer(
  server: Server,
  dataPlane: DataPlane,
  options: SharedServerOptions,
): void {
  if (!(server instanceof Server)) {
    throw new TypeError(
      'attach() needs the http.Server of the application; end TLS in a load balancer in front of it',
    );
  }
  // Connections that are open would escape the limits.
  if (server.listening) throw new TypeError('attach() must be called before the server listens');
  if (shared.has(server)) throw new TypeError('attach() was called for this server before');
  shared.add(server);
  const settings = server as unknown as ServerSettings;
  settings.insecureHTTPParser = false;
  settings.maxHeaderSize = options.maxRequestHead ?? MAX_REQUEST_HEAD_BYTES;
  // The request checks respond to a missing Host, in HTTP/1.0 too.
  settings.requireHostHeader = false;
  // Beyond its limit node:http drops fields, and with them the framing of the body. The request
  // checks count the fields.
  server.maxHeadersCount = 0;
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.keepAliveTimeout = CLIENT_KEEP_ALIVE_MS;
  // An upload may take any time, and a WebSocket may be idle.
  server.requestTimeout = 0;
  server.timeout = 0;
  limitConnections(server, options.connections);
  const { lingering } = dataPlane;
  lingering.attach(server);

  const { shouldUpgradeCallback } = settings;
  settings.shouldUpgradeCallback = (req) => {
    if (dataPlane.isAddressed(req)) return dataPlane.shouldUpgrade(req);
    if (hasOthers('upgrade') && shouldUpgradeCallback.call(server, req)) return true;
    dataPlane.ignoreOffer(req);
    return false;
  };

  const emit = server.emit.bind(server);
  const own = () => undefined;
  // node:http looks for listeners before it emits these.
  const events = ['upgrade', 'connect', 'checkContinue', 'checkExpectation', 'clientError'];
  for (const event of events) server.on(event, own);
  const hasOthers = (event: string) => server.listenerCount(event) > 1;

  /** Returns whether the application must not see the request. */
  const intercept = (req: IncomingMessage, res: ServerResponse): boolean => {
    if (!dataPlane.admit(req, res)) return true;
    if (dataPlane.isAddressed(req) !== 'host') return false;
    options.onOwnOrigin(req, res);
    return true;
  };

  const upgrade = (req: IncomingMessage, socket: Socket, head: Buffer): boolean => {
    if (!dataPlane.isAddressed(req)) {
      // What follows a refusal on a connection is not processed.
      if (knownConnection(req.socket)?.isRefused !== true) return false;
      req.socket.destroySoon();
      return true;
    }
    socket.on('error', () => socket.destroy());
    void options.refusalOfUpgrade(req).then((refusal) => {
      if (socket.destroyed) return;
      if (refusal) dataPlane.refuseUpgrade(req, refusal);
      else dataPlane.upgrade(req, socket, head);
    });
    return true;
  };

  // An override, because listeners cannot stop one another: libraries for WebSockets refuse the
  // handshakes of paths that they do not know.
  server.emit = (event: string, ...args: unknown[]): boolean => {
    const [req, res] = args as [IncomingMessage, ServerResponse];
    switch (event) {
      case 'request':
        return intercept(req, res) || emit('request', req, res);
      case 'checkExpectation':
        // The request checks refuse every expectation but 100-continue.
        return intercept(req, res) || emit('request', req, res);
      case 'checkContinue':
        if (intercept(req, res)) return true;
        // An instance sends `100 Continue` itself.
        if (dataPlane.isAddressed(req)) return emit('request', req, res);
        if (hasOthers('checkContinue')) return emit('checkContinue', req, res);
        res.writeContinue();
        return emit('request', req, res);
      case 'upgrade': {
        const [, socket, head] = args as [IncomingMessage, Socket, Buffer];
        return upgrade(req, socket, head) || emit(event, ...args);
      }
      case 'connect': {
        const [, socket] = args as [IncomingMessage, Socket];
        if (hasOthers('connect')) return emit(event, ...args);
        refuseConnect(dataPlane, socket);
        return true;
      }
      case 'clientError': {
        const [error, socket] = args as unknown as [ParserError, Socket];
        handleClientError(dataPlane, error, socket);
        return true;
      }
      default:
        return emit(event, ...args);
    }
  };
}
