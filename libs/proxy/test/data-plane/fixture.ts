import { randomBytes } from 'node:crypto';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Failure, newId as makeId, type ReadyRoute, type Route } from '@ephemera/domain';
import { connectRedis, connectTracking, type Keys, keysOf, RouteCache } from '@ephemera/store';
import { SETTLED_DATASET, type StartedRedis, startRedis } from '@ephemera/test-support';
import type { Redis } from 'ioredis';
import {
  createDataPlane,
  type DataPlane,
  type DataPlaneOptions,
} from '../../src/data-plane/data-plane.ts';
import {
  createPublicServer,
  type PublicServerOptions,
} from '../../src/data-plane/public-server.ts';

const PREFIX = 'demo';

/** A data plane on a real port, with routes in its own Redis. */
export interface Fixture {
  readonly port: number;
  readonly server: Server;
  readonly dataPlane: DataPlane;
  readonly routes: RouteCache;
  readonly redis: Redis;
  readonly keys: Keys;
  readonly startedRedis: StartedRedis;
  /** Warnings and errors that the data plane logged. */
  readonly warnings: unknown[];
  /** Why requests were refused, as logged. */
  readonly refusals: unknown[];
  /** Writes the route of a ready instance to Redis. Returns its id. */
  ready(port: number, more?: Partial<ReadyRoute> & { lifetime?: number }): Promise<string>;
  put(id: string, route: Route): Promise<void>;
  stop(): Promise<void>;
}

export type FixtureOptions = Partial<DataPlaneOptions> & {
  readonly server?: PublicServerOptions;
  readonly lease?: number;
  readonly grace?: number;
};

let lastGeneration = 0;

/** The host of every route. It has registered the loopback addresses. */
export const HOST = 'host-a';
/** Returns a registration with these networks. */
export const registration = (...networks: string[]): string =>
  JSON.stringify({ boot: 'boot', network: 'network', networks });

export const newId = (): string => makeId(randomBytes);
export const newGeneration = (): number => ++lastGeneration;

/** For routes of a test that asks for ids only. */
export const NO_NAMES = {
  peekName: () => undefined,
  findName: () => Promise.resolve(undefined),
  confirmName: () => Promise.resolve(undefined),
};

/** A route to a port of 127.0.1.1, for an hour. */
export function readyRoute(port: number): ReadyRoute {
  return {
    state: 'ready',
    generation: 0,
    address: '127.0.1.1',
    port,
    ports: { main: port },
    expiresAt: Date.now() + 3_600_000,
    stripPrefix: true,
    host: HOST,
    hostHeader: 'pass',
  };
}

export async function startFixture(options: FixtureOptions = {}): Promise<Fixture> {
  const startedRedis = await startRedis();
  const redis = connectRedis(startedRedis.url, 'request', () => undefined);
  await new Promise<void>((resolve) => redis.once('ready', () => resolve()));
  const keys = keysOf('test');
  const routes = new RouteCache({
    redis,
    trackingRedis: () => connectTracking(startedRedis.url, () => undefined),
    keys,
    ...(options.lease !== undefined && { lease: options.lease }),
    ...(options.grace !== undefined && { grace: options.grace }),
  });
  await redis.set(keys.registration(HOST), registration('127.0.0.0/8'));
  await redis.set(keys.dataset, SETTLED_DATASET);
  await routes.start();
  const warnings: unknown[] = [];
  const refusals: unknown[] = [];
  const dataPlane = createDataPlane({
    routes,
    prefix: PREFIX,
    domain: undefined,
    trustedProxies: [],
    sendFailure: (_req, res, failure) => answerPlainly(res, failure),
    logger: {
      debug: () => undefined,
      info: (...fields: unknown[]) => void refusals.push(fields),
      warn: (...fields: unknown[]) => void warnings.push(fields),
      error: (...fields: unknown[]) => void warnings.push(fields),
    },
    ...options,
  });
  const server = createPublicServer(
    dataPlane,
    (_req, res) => answerPlainly(res, { kind: 'not_found', what: 'page' }),
    options.server,
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const put = async (id: string, route: Route) => {
    await redis.set(keys.route(id), JSON.stringify(route));
  };
  return {
    port: (server.address() as AddressInfo).port,
    server,
    dataPlane,
    routes,
    redis,
    keys,
    startedRedis,
    warnings,
    refusals,
    put,
    async ready(port, { lifetime = 3_600_000, ...more } = {}) {
      const id = newId();
      const expiresAt = Date.now() + lifetime;
      await put(id, { ...readyRoute(port), expiresAt, generation: newGeneration(), ...more });
      return id;
    },
    async stop() {
      await dataPlane.drain(0);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await routes.stop();
      redis.disconnect();
      await startedRedis.stop();
    },
  };
}

const STATUS: Partial<Record<Failure['kind'], number>> = {
  access_denied: 403,
  not_found: 404,
  gone: 410,
  host_unregistered: 503,
  starting: 503,
  start_failed: 502,
  upstream_unreachable: 502,
  upstream_timeout: 504,
  store_unavailable: 503,
};

/** The smallest response to a failure: its status, and its kind as the body. */
function answerPlainly(res: ServerResponse, failure: Failure): void {
  const body = JSON.stringify(failure);
  res.writeHead(STATUS[failure.kind] ?? 500, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  });
  res.end(body);
}
