import { type Socket, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { ApiError, endpointOf, isFailure } from '@ephemera/domain';
import type { Endpoint, ReadyRoute } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import type { CachedRoute, RouteCache } from '@ephemera/store';
import { POOL_SWEEP_INTERVAL_MS, ROUTE_RECHECK_MS } from '../limits.ts';
import {
  Connection,
  type ConnectionOwner,
  SharedReadBuffer,
  UnregisteredHostError,
  UpstreamError,
} from './connection.ts';

/** Timeouts of upstream connections, ms, and the limit of their response heads. */
export interface UpstreamTimeouts {
  /** How long a connection may take to open. */
  readonly connectTimeout: number;
  /** How long an idle connection is kept. */
  readonly idleTimeout: number;
  /** How long an instance may send nothing before its response head is complete. */
  readonly responseTimeout: number;
  /** Bytes of a response head, or of a trailer section. */
  readonly maxResponseHead: number;
}

/** What a pool needs from the set of all pools. */
interface PoolContext {
  /** Coarse monotonic milliseconds. */
  readonly now: number;
  readonly connectTimeout: number;
  readonly maxResponseHead: number;
  /**
   * Whether the store, asked now, still has this generation as the current one.
   * Reads the registration of its host in the same step, and checks the endpoint against it.
   * @throws ApiError `store_unavailable`; UnregisteredHostError
   */
  confirms(id: string, route: ReadyRoute, endpoint: Endpoint): Promise<boolean>;
  /**
   * Checks that a host has registered the endpoint of a route. Elsewhere the same address can belong
   * to an instance of another host.
   * @throws UnregisteredHostError; ApiError `store_unavailable` if no registration is known
   */
  requireRegistered(host: string, endpoint: Endpoint): Promise<void>;
}

/**
 * The upstream connections of one generation of one instance. No socket is ever found by its address:
 * the next container may have the same one.
 */
export class UpstreamPool implements ConnectionOwner {
  readonly id: string;
  readonly route: ReadyRoute;
  readonly #context: PoolContext;
  readonly #idle = new Map<number, Connection[]>();
  readonly #connections = new Set<Connection>();
  /** Sockets that serve no requests: they are being opened, or belong to tunnels. */
  readonly #sockets = new Set<Duplex>();
  #isDestroyed = false;

  constructor(id: string, route: ReadyRoute, context: PoolContext) {
    this.id = id;
    this.route = route;
    this.#context = context;
  }

  get generation(): number {
    return this.route.generation;
  }

  get now(): number {
    return this.#context.now;
  }

  get maxResponseHead(): number {
    return this.#context.maxResponseHead;
  }

  /** Open connections for requests. */
  get size(): number {
    return this.#connections.size;
  }

  /** Whether no socket is open. The pool can then be removed. */
  get isUnused(): boolean {
    return this.#connections.size === 0 && this.#sockets.size === 0;
  }

  /** An idle connection, if there is one: the last used first, so that the others can time out. */
  acquire(port: number): Connection | undefined {
    const idle = this.#idle.get(port);
    for (let connection = idle?.pop(); connection; connection = idle?.pop()) {
      if (connection.isUsable) return connection;
    }
    return undefined;
  }

  /** Keeps a connection for the next request. */
  release(connection: Connection): void {
    if (this.#isDestroyed) {
      connection.abandon();
      return;
    }
    const idle = this.#idle.get(connection.port);
    if (idle) idle.push(connection);
    else this.#idle.set(connection.port, [connection]);
  }

  /** Opens a connection for requests. @throws UpstreamError, see `open` */
  async connect(port: number): Promise<Connection> {
    const buffer = new SharedReadBuffer();
    const socket = await this.open(port, buffer, false);
    const connection = new Connection(socket, buffer, port, this);
    this.#connections.add(connection);
    return connection;
  }

  /**
   * Opens a socket. The store is asked for the route again after the socket has opened and before
   * the first byte is sent. As long as the store has this generation as ready, no other container
   * can have the address, so the open socket leads to this one. The registration of the host is
   * checked before the socket opens, so that no packet goes to an address of another host, and again
   * with the route.
   *
   * @param buffer receives what arrives; its `onChunk` may be set later
   * @throws UpstreamError of kind `unreachable`, `superseded`, `unconfirmed` or `unregistered`
   */
  async open(port: number, buffer: SharedReadBuffer, allowHalfOpen: boolean): Promise<Socket> {
    this.#requireCurrent();
    const endpoint = endpointOf(this.route, port);
    const registered = this.#context.requireRegistered(this.route.host, endpoint);
    await registered.catch(storeErrorToUpstreamError);
    this.#requireCurrent();
    const { onread } = buffer;
    const to = { host: endpoint.address, port: endpoint.port };
    const socket = connect({ ...to, noDelay: true, allowHalfOpen, onread });
    this.hold(socket);
    try {
      await opened(socket, this.#context.connectTimeout);
      this.#requireCurrent(await this.#context.confirms(this.id, this.route, endpoint));
      if (buffer.receivedBeforeRequest) {
        throw new UpstreamError('unreachable', 'data_before_request');
      }
      if (socket.destroyed) throw new UpstreamError('unreachable', 'closed_before_request');
      return socket;
    } catch (error) {
      socket.destroy();
      return storeErrorToUpstreamError(error);
    } finally {
      this.#sockets.delete(socket);
    }
  }

  /** Destroys the socket when the pool is destroyed. */
  hold(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  onClosed(connection: Connection): void {
    this.#connections.delete(connection);
  }

  /** Closes connections that were idle or silent for too long. @param timeouts ms */
  sweep({ idleTimeout, responseTimeout }: UpstreamTimeouts): void {
    for (const connection of this.#connections) {
      const quiet = this.now - connection.activeAt;
      if (connection.isUsable) {
        if (quiet >= Math.min(idleTimeout, connection.idleLimit)) connection.abandon();
      } else if (connection.awaitsResponse && quiet >= responseTimeout) {
        connection.destroy('silent', 'response_timeout');
      }
    }
    for (const [port, idle] of this.#idle) {
      if (idle.length === 0) this.#idle.delete(port);
      else if (!idle[0]?.isUsable) {
        this.#idle.set(
          port,
          idle.filter(({ isUsable }) => isUsable),
        );
      }
    }
  }

  destroy(): void {
    this.#isDestroyed = true;
    for (const connection of this.#connections) connection.destroy('dropped', 'route_dropped');
    for (const socket of this.#sockets) socket.destroy();
    this.#idle.clear();
  }

  #requireCurrent(isConfirmed = true): void {
    if (!isConfirmed || this.#isDestroyed) {
      throw new UpstreamError('superseded', 'route_superseded');
    }
  }
}

/** @throws UpstreamError of kind `unconfirmed` for an ApiError; rethrows any other error */
function storeErrorToUpstreamError(error: unknown): never {
  throw error instanceof ApiError
    ? new UpstreamError('unconfirmed', 'store_unavailable', error)
    : error;
}

/** Waits until a socket is connected. @throws UpstreamError */
async function opened(socket: Socket, timeoutMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const timer = setTimeout(
    () => reject(new UpstreamError('unreachable', 'connect_timeout')),
    timeoutMs,
  );
  socket.once('connect', () => resolve(undefined));
  // The listener stays: an error while the route is being confirmed must not be uncaught.
  socket.on('error', (error) => reject(new UpstreamError('unreachable', 'connect_failed', error)));
  // Without an error event, the pool has closed the socket.
  socket.once('close', () => reject(new UpstreamError('superseded', 'route_superseded')));
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
}

export function createUpstreamPools(
  ...options: ConstructorParameters<typeof UpstreamPools>
): UpstreamPools {
  return new UpstreamPools(...options);
}

/** The pools of this process: at most one for each id, of its current generation. */
export class UpstreamPools implements PoolContext {
  readonly connectTimeout: number;
  readonly maxResponseHead: number;
  now = performance.now();
  readonly #timeouts: UpstreamTimeouts;
  readonly #routes: Pick<RouteCache, 'find' | 'confirm' | 'isRegistered' | 'onDrop'>;
  readonly #logger: Pick<Logger, 'warn'>;
  readonly #pools = new Map<string, UpstreamPool>();
  readonly #sweeper: NodeJS.Timeout;

  constructor(
    routes: Pick<RouteCache, 'find' | 'confirm' | 'isRegistered' | 'onDrop'>,
    timeouts: UpstreamTimeouts,
    logger: Pick<Logger, 'warn'>,
  ) {
    this.#routes = routes;
    this.#timeouts = timeouts;
    this.#logger = logger;
    this.connectTimeout = timeouts.connectTimeout;
    this.maxResponseHead = timeouts.maxResponseHead;
    this.#sweeper = setInterval(() => this.#sweep(), POOL_SWEEP_INTERVAL_MS).unref();
    routes.onDrop((id, generation) => {
      const pool = this.#pools.get(id);
      if (pool?.generation === generation) this.#drop(pool);
    });
  }

  /** The pool of a ready route. A pool of another generation is destroyed. */
  poolOf(id: string, route: ReadyRoute, deadline: number): UpstreamPool {
    const known = this.#pools.get(id);
    if (known?.generation === route.generation) return known;
    if (known) this.#drop(known);
    const pool = new UpstreamPool(id, route, this);
    this.#pools.set(id, pool);
    this.#watch(pool, deadline);
    return pool;
  }

  async confirms(id: string, route: ReadyRoute, endpoint: Endpoint): Promise<boolean> {
    const { host, generation } = route;
    const found = await this.#routes.confirm(id, host);
    if (!isCurrent(found, generation)) return false;
    await this.requireRegistered(host, endpoint);
    return true;
  }

  async requireRegistered(host: string, endpoint: Endpoint): Promise<void> {
    if (await this.#routes.isRegistered(host, endpoint)) return;
    throw new UnregisteredHostError(host, endpoint.address);
  }

  /** Open connections for requests, of all instances. */
  get connections(): number {
    return [...this.#pools.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** Closes every connection and tunnel. */
  destroy(): void {
    clearInterval(this.#sweeper);
    for (const pool of this.#pools.values()) this.#drop(pool);
  }

  /** Destroys the pool at its deadline, without any other process. A renewal moves the deadline. */
  #watch(pool: UpstreamPool, deadline: number): void {
    const wait = Math.min(Math.max(deadline - performance.now(), 0), ROUTE_RECHECK_MS);
    setTimeout(() => void this.#recheck(pool, deadline), wait).unref();
  }

  async #recheck(pool: UpstreamPool, deadline: number): Promise<void> {
    if (this.#pools.get(pool.id) !== pool) return;
    let found: CachedRoute | undefined;
    try {
      found = await this.#routes.find(pool.id);
    } catch (error) {
      // The route returns when its host has restored it. `onDrop` reports if it does not.
      if (isFailure(error, 'rebuilding') && performance.now() < deadline) {
        this.#watch(pool, deadline);
        return;
      }
      this.#logger.warn({ err: error, id: pool.id }, 'route not readable; its connections close');
    }
    if (found && isCurrent(found, pool.generation)) this.#watch(pool, found.deadline);
    else this.#drop(pool);
  }

  #drop(pool: UpstreamPool): void {
    if (this.#pools.get(pool.id) === pool) this.#pools.delete(pool.id);
    pool.destroy();
  }

  #sweep(): void {
    this.now = performance.now();
    for (const pool of this.#pools.values()) {
      pool.sweep(this.#timeouts);
      if (pool.isUnused) this.#pools.delete(pool.id);
    }
  }
}

function isCurrent(found: CachedRoute | undefined, generation: number): boolean {
  return (
    found?.route.state === 'ready' &&
    found.route.generation === generation &&
    performance.now() < found.deadline
  );
}
