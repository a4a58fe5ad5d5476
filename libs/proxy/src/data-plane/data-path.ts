import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Failure } from '@ephemera/domain';
import { parseTrustedProxies } from '@ephemera/http';
import { inPipelineOrder } from '../pipeline-order.ts';
import { type Address, readAddress } from './address.ts';
import type { DataPathContext } from './context.ts';
import { ProxiedRequest } from './proxied-request.ts';
import { UploadScheduler } from './upload-scheduler.ts';
import { isAnswering, clientConnectionOf } from './client-connection.ts';
import { refuse, refuseSocket, REFUSALS } from './refusal.ts';
import { readRequestHead } from './request-head.ts';
import { responseForSocket } from './response-for-socket.ts';
import { Upgrades } from './upgrades.ts';
import { createUpstreamPools } from './upstream/upstream-pools.ts';
import { checkHandshake } from './websocket-handshake.ts';

/** How often a drain looks whether all is done, ms. */
const DRAIN_POLL_MS = 20;

/** Settings of a data path; durations are milliseconds. */
export interface DataPathOptions extends Pick<
  DataPathContext,
  'routes' | 'sendFailure' | 'logger'
> {
  /** First segment of the path form. */
  readonly prefix: string;
  /** Domain of the host form, with a port or without; undefined: path form only. */
  readonly domain: string | undefined;
  /** How visitors reach the host form; `http` where absent. */
  readonly scheme?: 'http' | 'https';
  /** Addresses or CIDRs whose X-Forwarded-* are believed. */
  readonly trustedProxies: readonly string[];
  /** How long a request waits for an instance that is starting. */
  readonly startWait?: number;
  /** How long an instance may be silent before its answer begins; 0: for ever. */
  readonly responseTimeout?: number;
  readonly connectTimeout?: number;
  /** How long idle connections to instances are kept; shorter than the instances keep them. */
  readonly idleTimeout?: number;
  /** How long a client may leave what it was sent untaken. */
  readonly clientTimeout?: number;
  readonly waitingPage?: DataPathContext['waitingPage'];
  readonly activity?: DataPathContext['activity'];
  readonly createUpstreamPools?: typeof createUpstreamPools;
}

/** The way of every request that is for an instance. */
export interface DataPath {
  /** True where the request is the data path's, answered or being answered; else the entrance's. */
  request(req: IncomingMessage, res: ServerResponse): boolean;
  /** Takes every upgrade, and answers those that it refuses. */
  upgrade(req: IncomingMessage, socket: Socket, head: Buffer): void;
  /** Waits until requests and tunnels have ended, and cuts what is left after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
  inFlight(): number;
  openTunnels(): number;
}

export function createDataPath(options: DataPathOptions): DataPath {
  const forms = {
    prefix: options.prefix,
    domain: options.domain?.replace(/:\d+$/, '').toLowerCase(),
  };
  const trusted = parseTrustedProxies(options.trustedProxies);
  const responseTimeout =
    options.responseTimeout === 0 ? Infinity : (options.responseTimeout ?? 60_000);
  const pools = (options.createUpstreamPools ?? createUpstreamPools)(options.routes, {
    connectTimeout: options.connectTimeout ?? 1_200,
    idleTimeout: options.idleTimeout ?? 4_000,
    responseTimeout,
  });
  const context: DataPathContext = {
    routes: options.routes,
    prefix: options.prefix,
    secure: options.scheme === 'https',
    domainPort: /:\d+$/.exec(options.domain ?? '')?.[0] ?? '',
    pools,
    uploadScheduler: new UploadScheduler(),
    startWait: options.startWait ?? 30_000,
    responseTimeout,
    clientTimeout: options.clientTimeout ?? 60_000,
    sendFailure: options.sendFailure,
    logger: options.logger,
    waitingPage: options.waitingPage,
    activity: options.activity,
    draining: false,
    inFlight: 0,
  };
  const upgrades = new Upgrades(context);

  return {
    request(req, res) {
      const client = clientConnectionOf(req.socket, trusted);
      // The connection ends with the refusal: this stays without an answer.
      if (client.isRefused) return true;
      client.answer = res;
      const head = readRequestHead(req, client.isTrusted);
      if ('status' in head) {
        client.isRefused = true;
        refuse(req, res, head);
        return true;
      }
      const target = req.url ?? '';
      const address = readAddress(target, head.host, forms);
      if (address === undefined) return false;
      const method = req.method ?? '';
      if (address.prefix !== '' && options.domain !== undefined) {
        redirectToHostForm(address, `${options.scheme ?? 'http'}:`, options.domain, res);
        return true;
      }
      if (address.prefix !== '' && head.isServiceWorker) {
        options.sendFailure(req, res, NO_SERVICE_WORKER);
        return true;
      }
      if (!address.path.startsWith('/') && (method === 'GET' || method === 'HEAD')) {
        redirectToTrailingSlash(address, res);
        return true;
      }
      const request = new ProxiedRequest(context, req, res, {
        method,
        target,
        head,
        address,
        client,
      });
      inPipelineOrder(res, () => request.start());
      return true;
    },

    upgrade(req, socket, rest) {
      socket.on('error', () => socket.destroy());
      // A handshake with a body comes with a stream of its own in the socket's place.
      const client = clientConnectionOf(req.socket, trusted);
      // Behind an answer that is still on its way, a 101 would be taken for that answer.
      if (client.isRefused || isAnswering(client)) {
        req.socket.destroy();
        return;
      }
      const head = readRequestHead(req, client.isTrusted);
      const refusal = 'status' in head ? head : checkHandshake(req, head);
      if ('status' in head || refusal) {
        refuseSocket(socket, refusal ?? REFUSALS.upgrade);
        return;
      }
      const target = req.url ?? '';
      const address = readAddress(target, head.host, forms);
      if (address === undefined) {
        const failure = { kind: 'not_found', what: 'such page' } as const;
        options.sendFailure(req, responseForSocket(socket, req), failure);
        return;
      }
      const inbound = { method: 'GET', target, head, address, client };
      void upgrades.open({ req, socket, head: rest, inbound });
    },

    async drain(deadlineMs) {
      context.draining = true;
      const end = performance.now() + deadlineMs;
      while (context.inFlight + upgrades.size > 0 && performance.now() < end) {
        await sleep(DRAIN_POLL_MS);
      }
      upgrades.destroy();
      pools.destroy();
    },

    inFlight: () => context.inFlight,
    openTunnels: () => upgrades.size,
  };
}

/** A service worker of one instance would live on among the pages of all that share the origin. */
const NO_SERVICE_WORKER = {
  kind: 'invalid',
  status: 403,
  faults: [{ path: '', detail: 'where instances share an origin there are no service workers' }],
} as const satisfies Failure;

/**
 * Where there is a domain, no page of an instance is shown on the origin that the path form shares.
 * Temporary, because a browser would remember it longer than the configuration stands.
 */
function redirectToHostForm(
  { id, port, path }: Address,
  scheme: string,
  domain: string,
  res: ServerResponse,
): void {
  const label = port === undefined ? id : `${port.toLowerCase()}-${id}`;
  const below = path.startsWith('/') ? path : `/${path}`;
  res.writeHead(307, {
    location: `${scheme}//${label}.${domain}${below}`,
    'content-length': 0,
    'cache-control': 'no-store',
  });
  res.end();
}

/** `/demo/{id}` is the page's name; below its slash, relative links lead to the instance. */
function redirectToTrailingSlash({ prefix, path }: Address, res: ServerResponse): void {
  res.writeHead(308, { location: `${prefix}/${path}`, 'content-length': 0 });
  res.end();
}
