import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Failure } from '@ephemera/domain';
import {
  hostNameOf,
  LingeringConnections,
  type LingerLimits,
  parseTrustedProxies,
  useTargetAuthority,
} from '@ephemera/http';
import { inPipelineOrder } from '../in-flight-requests.ts';
import { type Address, type AddressForms, readAddress, readForm } from './address.ts';
import { connectionOf, isResponding } from './client-connection.ts';
import { type Refusal, refuse, refuseSocket, responseForSocket } from './early-response.ts';
import {
  CLIENT_TIMEOUT_MS,
  CONNECT_TIMEOUT_MS,
  DRAIN_POLL_MS,
  MAX_REQUEST_FIELDS,
  MAX_RESPONSE_HEAD_BYTES,
  RESPONSE_TIMEOUT_MS,
  START_WAIT_MS,
  UPSTREAM_IDLE_TIMEOUT_MS,
  WEBSOCKETS_PER_INSTANCE,
} from './limits.ts';
import { dropNominated, removeFraming } from './header-fields.ts';
import { ProxiedRequest } from './proxied-request.ts';
import { ProxiedUpgrade } from './proxied-upgrade.ts';
import { RefusalLog } from './refusal-log.ts';
import { checkHandshake, offersWebSocket, readRequestHead } from './request-head.ts';
import type { RequestHead } from './request-head.ts';
import type { DataPlaneContext } from './routed-request.ts';
import { readOuterPrefix } from './translate-address.ts';
import { UploadScheduler } from './upload.ts';
import type { Site } from './upstream-request.ts';
import { createUpstreamPools } from './upstream/pool.ts';
import { WebSocketTunnels } from './websocket-tunnel.ts';

/** Settings of a data plane; durations are milliseconds, with the defaults of `limits.ts`. */
export interface DataPlaneOptions extends Pick<
  DataPlaneContext,
  'routes' | 'sendFailure' | 'logger'
> {
  /** First segment of the path form. */
  readonly prefix: string;
  /** Domain of the host form, with a port or without; undefined: path form only. */
  readonly domain: string | undefined;
  /**
   * Whether stable names have an address in host form, and which host has none. Default: no; with a
   * domain, they have no address then.
   */
  readonly hostNames?: AddressForms['hostNames'];
  /** How visitors reach the host form; `http` by default. */
  readonly scheme?: 'http' | 'https';
  /** What the visitors' paths of the path form begin with, as in `/outer`; nothing by default. */
  readonly publicPath?: string;
  /**
   * Whether an application that shares the server authenticates by `Authorization`. Browsers send it
   * to all paths of its origin, so instances in path form do not get it. Default: no.
   */
  readonly ownsAuthorization?: boolean;
  /** Addresses or CIDRs whose forwarded headers are accepted. */
  readonly trustedProxies: readonly string[];
  /** How long a request waits for an instance that is starting. */
  readonly startWait?: number;
  /** How long an instance may send nothing before its response head is complete; 0: no limit. */
  readonly responseTimeout?: number;
  readonly connectTimeout?: number;
  /** How long idle upstream connections are kept: shorter than the instances keep them. */
  readonly idleTimeout?: number;
  /** How long a client may accept no byte of its response. */
  readonly clientTimeout?: number;
  /** Header lines of a request; 431 beyond it. */
  readonly maxRequestFields?: number;
  /** Bytes of a response head, or of a trailer section; 502 beyond it. */
  readonly maxResponseHead?: number;
  /** How many WebSockets of one instance may be open, in use or idle. */
  readonly webSocketsPerInstance?: number;
  /** Called for each handshake that `webSocketsPerInstance` refuses. */
  readonly onWebSocketRefused?: () => void;
  /** How long clients may go on sending behind their response. */
  readonly linger?: LingerLimits;
  readonly startOnVisit?: DataPlaneContext['startOnVisit'];
  readonly waitingPage?: DataPlaneContext['waitingPage'];
  readonly activity?: DataPlaneContext['activity'];
  readonly onUpstreamFailure?: DataPlaneContext['onUpstreamFailure'];
  readonly onRequestEnd?: DataPlaneContext['onRequestEnd'];
  readonly traceRequest?: DataPlaneContext['traceRequest'];
  readonly onRetry?: DataPlaneContext['onRetry'];
  readonly createUpstreamPools?: typeof createUpstreamPools;
  /** Explains a handshake for no instance; undefined if there is no more to say than 404. */
  readonly explainNotFound?: (req: IncomingMessage) => Failure | undefined;
}

/** Forwards the requests that are for an instance. */
export interface DataPlane {
  /**
   * Handles a request. Returns false if its address names no instance; the caller then handles it.
   */
  request(req: IncomingMessage, res: ServerResponse): boolean;
  /**
   * The checks of `request` alone, for a server that an application shares. Returns false if the
   * request is refused or dropped; nobody may handle it then.
   */
  admit(req: IncomingMessage, res: ServerResponse): boolean;
  /** As `request`, for a request that `admit` has checked. */
  forwardAdmitted(req: IncomingMessage, res: ServerResponse): boolean;
  /** Whether the address of a request is one of the path form, or the origin of an instance. */
  isAddressed(req: IncomingMessage): 'path' | 'host' | undefined;
  /** Handles a request whose offer of an upgrade is ignored as one without the offer. */
  ignoreOffer(req: IncomingMessage): void;
  /**
   * Whether node:http hands a request that offers an upgrade to `upgrade`. If not, the offer is
   * ignored, and the request follows to `request`.
   */
  shouldUpgrade(req: IncomingMessage): boolean;
  /** Handles WebSocket handshakes, and responds to those that it refuses. */
  upgrade(req: IncomingMessage, socket: Socket, head: Buffer): void;
  /** Refuses a handshake, unless the client would take that for another response. */
  refuseUpgrade(req: IncomingMessage, reason: Refusal): void;
  /** Why requests were refused, by the data plane or by the parser of the public port. */
  readonly refusals: RefusalLog;
  /** Waits until requests and tunnels have ended, and cuts the rest after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
  inFlight(): number;
  openTunnels(): number;
  /** Open connections to instances. */
  upstreamConnections(): number;
  /** The client connections that close behind their last response. A drain waits for them. */
  readonly lingering: LingeringConnections;
}

export function createDataPlane(options: DataPlaneOptions): DataPlane {
  const forms = {
    prefix: options.prefix,
    domain: options.domain && hostNameOf(options.domain),
    ...(options.hostNames && { hostNames: options.hostNames }),
  };
  const trusted = parseTrustedProxies(options.trustedProxies);
  const responseTimeout =
    options.responseTimeout === 0 ? Infinity : (options.responseTimeout ?? RESPONSE_TIMEOUT_MS);
  const { maxRequestFields = MAX_REQUEST_FIELDS, maxResponseHead = MAX_RESPONSE_HEAD_BYTES } =
    options;
  const timeouts = {
    connectTimeout: options.connectTimeout ?? CONNECT_TIMEOUT_MS,
    idleTimeout: options.idleTimeout ?? UPSTREAM_IDLE_TIMEOUT_MS,
    responseTimeout,
    maxResponseHead,
  };
  const createPools = options.createUpstreamPools ?? createUpstreamPools;
  const pools = createPools(options.routes, timeouts, options.logger);
  const context: DataPlaneContext = {
    routes: options.routes,
    prefix: options.prefix,
    pools,
    uploads: new UploadScheduler(),
    lingering: new LingeringConnections(options.linger),
    startWait: options.startWait ?? START_WAIT_MS,
    responseTimeout,
    clientTimeout: options.clientTimeout ?? CLIENT_TIMEOUT_MS,
    maxResponseHead,
    sendFailure: options.sendFailure,
    logger: options.logger,
    startOnVisit: options.startOnVisit,
    waitingPage: options.waitingPage,
    activity: options.activity,
    onUpstreamFailure: options.onUpstreamFailure,
    onRequestEnd: options.onRequestEnd,
    traceRequest: options.traceRequest,
    onRetry: options.onRetry,
    webSocketsPerInstance: options.webSocketsPerInstance ?? WEBSOCKETS_PER_INSTANCE,
    webSockets: new Map(),
    onWebSocketRefused: options.onWebSocketRefused,
    isDraining: false,
    inFlight: 0,
  };
  const site: Site = {
    secure: options.scheme === 'https',
    domainPort: /:\d+$/.exec(options.domain ?? '')?.[0] ?? '',
    publicPath: readOuterPrefix(options.publicPath ?? ''),
  };
  const tunnels = new WebSocketTunnels(context, options.logger);
  const refusals = new RefusalLog(options.logger);
  const logRefusal = (refusal: Refusal, req: IncomingMessage) =>
    refusals.add(refusal, { address: req.socket.remoteAddress, method: req.method });
  /** Client sockets of tunnels that are open or being opened. */
  const tunnelSockets = new Set<Socket>();
  /** Requests whose offer of an upgrade is ignored. */
  const ignoredOffers = new WeakSet<IncomingMessage>();

  /** Runs the request checks. Returns undefined if the request is refused or dropped. */
  const check = (req: IncomingMessage, res: ServerResponse): RequestHead | undefined => {
    const connection = connectionOf(req.socket, trusted);
    // The connection closes with the refusal, so this request gets no response.
    if (connection.isRefused || connection.isLast) return undefined;
    connection.lastResponse = res;
    if (ignoredOffers.has(req)) {
      // llhttp stops behind a message with an offer, and node:http then loses what it had read
      // after it. What follows on the connection could be the middle of a request.
      connection.isLast = true;
      res.shouldKeepAlive = false;
    }
    useTargetAuthority(req);
    const head = readRequestHead(req, connection.isTrusted, maxRequestFields);
    if (head.kind === 'refusal') {
      connection.isRefused = true;
      logRefusal(head, req);
      refuse(req, res, head);
      return undefined;
    }
    return head;
  };

  /** The head without what an instance at this address must not see. */
  const headFor = ({ prefix }: Address, head: RequestHead): RequestHead => {
    if (prefix === '' || options.ownsAuthorization !== true) return head;
    return { ...head, lines: dropNominated(head.lines, AUTHORIZATION) };
  };

  const forward = (req: IncomingMessage, res: ServerResponse, head: RequestHead): boolean => {
    const connection = connectionOf(req.socket, trusted);
    const target = req.url ?? '';
    const address = readAddress(target, head.host, forms);
    if (address === undefined) return false;
    const method = req.method ?? '';
    if (address.prefix !== '' && options.domain !== undefined) {
      context.lingering.discardRest(req, res);
      redirectToHostForm(address, `${options.scheme ?? 'http'}:`, options.domain, res);
      return true;
    }
    if (address.prefix !== '' && head.isServiceWorker) {
      context.lingering.discardRest(req, res);
      options.sendFailure(req, res, NO_SERVICE_WORKER);
      return true;
    }
    const inbound = { method, target, head: headFor(address, head), address, connection, site };
    const request = new ProxiedRequest(context, req, res, inbound);
    inPipelineOrder(res, () => request.start());
    return true;
  };

  /** Whether a handshake can be answered. If not, its connection closes. */
  const mayAnswer = ({ socket }: IncomingMessage): boolean => {
    const connection = connectionOf(socket, trusted);
    // The client would take an answer for the response that is still being sent.
    if (isResponding(connection)) {
      // A refusal that is being sent closes the connection itself.
      if (!connection.isRefused) socket.destroy();
      return false;
    }
    if (connection.isRefused) socket.destroySoon();
    return !connection.isRefused;
  };

  return {
    request(req, res) {
      const head = check(req, res);
      return head === undefined || forward(req, res, head);
    },

    admit: (req, res) => check(req, res) !== undefined,

    forwardAdmitted(req, res) {
      removeFraming(res);
      const connection = connectionOf(req.socket, trusted);
      const head = readRequestHead(req, connection.isTrusted, maxRequestFields);
      if (head.kind === 'head') return forward(req, res, head);
      // The application has changed the fields of the request.
      connection.isRefused = true;
      refuse(req, res, head);
      return true;
    },

    isAddressed(req) {
      useTargetAuthority(req);
      return readForm(req.url ?? '', req.headers.host ?? '', forms);
    },

    ignoreOffer: (req) => void ignoredOffers.add(req),

    shouldUpgrade(req) {
      if (offersWebSocket(req)) return true;
      ignoredOffers.add(req);
      return false;
    },

    upgrade(req, socket, rest) {
      socket.on('error', () => socket.destroy());
      // For a handshake with a body, `socket` differs from `req.socket`.
      const connection = connectionOf(req.socket, trusted);
      if (!mayAnswer(req)) return;
      useTargetAuthority(req);
      const head = readRequestHead(req, connection.isTrusted, maxRequestFields);
      if (head.kind === 'refusal') {
        logRefusal(head, req);
        refuseSocket(req.socket, head);
        return;
      }
      const refusal = checkHandshake(req, head);
      if (refusal) {
        logRefusal(refusal, req);
        refuseSocket(req.socket, refusal);
        return;
      }
      const target = req.url ?? '';
      const address = readAddress(target, head.host, forms);
      if (address === undefined) {
        const notFound = { kind: 'not_found', what: 'such page' } as const;
        const failure = options.explainNotFound?.(req) ?? notFound;
        options.sendFailure(req, responseForSocket(socket, req), failure);
        return;
      }
      const request = {
        method: 'GET',
        target,
        head: headFor(address, head),
        ...{ address, connection, site },
      };
      tunnelSockets.add(socket);
      socket.once('close', () => tunnelSockets.delete(socket));
      new ProxiedUpgrade(context, tunnels, { req, socket, head: rest, request }).start();
    },

    refuseUpgrade(req, reason) {
      if (!mayAnswer(req)) return;
      logRefusal(reason, req);
      refuseSocket(req.socket, reason);
    },

    async drain(deadlineMs) {
      context.isDraining = true;
      const end = performance.now() + deadlineMs;
      const isBusy = () => context.inFlight + tunnelSockets.size + context.lingering.size > 0;
      while (isBusy() && performance.now() < end) await sleep(DRAIN_POLL_MS);
      for (const socket of tunnelSockets) socket.destroy();
      pools.destroy();
    },

    refusals,
    inFlight: () => context.inFlight,
    openTunnels: () => tunnelSockets.size,
    upstreamConnections: () => pools.connections,
    lingering: context.lingering,
  };
}

const AUTHORIZATION: ReadonlySet<string> = new Set(['authorization']);

/** A service worker of one instance would control the pages of all that share its origin. */
const NO_SERVICE_WORKER = {
  kind: 'invalid',
  status: 403,
  faults: [
    {
      path: '',
      detail:
        'service workers are not available where instances share an origin; use the host form',
    },
  ],
} as const satisfies Failure;

/**
 * With a domain configured, instances are served only on their own origins, never on the origin
 * that the path form shares. The redirect is temporary, because a browser would remember a
 * permanent one longer than the configuration lasts.
 */
function redirectToHostForm(
  { id, name, port, path }: Address,
  scheme: string,
  domain: string,
  res: ServerResponse,
): void {
  const separator = name === undefined ? '-' : '--';
  const own = name ?? id;
  const label = port === undefined ? own : `${port.toLowerCase()}${separator}${own}`;
  const below = path.startsWith('/') ? path : `/${path}`;
  res.writeHead(307, {
    location: `${scheme}//${label}.${domain}${below}`,
    'content-length': 0,
    'cache-control': 'no-store',
  });
  res.end();
}
