import { type Socket, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ReadyRoute } from '@ephemera/domain';
import { UpstreamConnectError } from './upstream-connect-error.ts';
import { Connection, type ConnectionOwner } from './connection.ts';
import { SharedReadBuffer } from './shared-read-buffer.ts';

/** What the agents of a process have in common. */
export interface UpstreamPoolContext {
  /** Coarse monotonic milliseconds. */
  readonly now: number;
  /** How long a connection may take to open, ms. */
  readonly connectTimeout: number;
  /**
   * Whether the store, asked now, still says that this generation is the one to use.
   * @throws ApiError `store_unavailable`
   */
  confirms(id: string, generation: number): Promise<boolean>;
}

/**
 * All connections to one generation of one instance, and to nothing else: an address alone never
 * finds a socket, because the next container may have it.
 */
export class UpstreamPool implements ConnectionOwner {
  readonly id: string;
  readonly route: ReadyRoute;
  readonly #context: UpstreamPoolContext;
  readonly #idle = new Map<number, Connection[]>();
  readonly #connections = new Set<Connection>();
  /** Sockets that serve no requests: still opening, or tunnels. */
  readonly #sockets = new Set<Duplex>();
  #destroyed = false;

  constructor(id: string, route: ReadyRoute, context: UpstreamPoolContext) {
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

  /** Nothing is open: the agent may be forgotten. */
  get isUnused(): boolean {
    return this.#connections.size === 0 && this.#sockets.size === 0;
  }

  /** An idle connection; the one used last first, so that the others may age. */
  acquire(port: number): Connection | undefined {
    const idle = this.#idle.get(port);
    for (let connection = idle?.pop(); connection; connection = idle?.pop()) {
      if (connection.isUsable) return connection;
    }
    return undefined;
  }

  /** Opens a connection to serve requests. @throws like `open` */
  async connect(port: number): Promise<Connection> {
    const readBuffer = new SharedReadBuffer();
    const socket = await this.open(port, readBuffer, false);
    const connection = new Connection(socket, readBuffer, port, this);
    this.#connections.add(connection);
    return connection;
  }

  /**
   * Opens a socket. The store is asked for the route again, behind the opening and before the
   * first byte: while it says that this generation is ready, the address cannot have been given
   * to another container, so the socket that is open already leads to this one.
   *
   * @param inlet who takes what arrives; nobody may be there yet
   * @throws UpstreamConnectError, or ApiError where the store does not answer
   */
  async open(port: number, readBuffer: SharedReadBuffer, allowHalfOpen: boolean): Promise<Socket> {
    this.#assertCurrent();
    const { onread } = readBuffer;
    const host = this.route.address;
    const socket = connect({ host, port, noDelay: true, allowHalfOpen, onread });
    this.hold(socket);
    try {
      await opened(socket, this.#context.connectTimeout);
      this.#assertCurrent(await this.#context.confirms(this.id, this.generation));
      // Who speaks before he is asked is not answering.
      if (socket.destroyed || readBuffer.receivedBeforeRequest)
        throw new UpstreamConnectError('unreachable');
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      this.#sockets.delete(socket);
    }
  }

  /** Has a socket end with the agent. */
  hold(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  release(connection: Connection): void {
    if (this.#destroyed) {
      connection.destroy('dropped');
      return;
    }
    const idle = this.#idle.get(connection.port);
    if (idle) idle.push(connection);
    else this.#idle.set(connection.port, [connection]);
  }

  onClosed(connection: Connection): void {
    this.#connections.delete(connection);
  }

  /**
   * Ends what has been idle or silent for too long. @param idleLimit ms, @param silenceLimit ms
   */
  sweep(idleLimit: number, silenceLimit: number): void {
    for (const connection of this.#connections) {
      const quiet = this.now - connection.activeAt;
      if (connection.isUsable) {
        if (quiet >= Math.min(idleLimit, connection.idleLimit)) connection.destroy('dropped');
      } else if (connection.awaitsAnswer && quiet >= silenceLimit) {
        connection.destroy('silent');
      }
    }
    for (const [port, idle] of this.#idle) {
      if (idle.length === 0) this.#idle.delete(port);
      else if (!idle[0]?.isUsable)
        this.#idle.set(
          port,
          idle.filter((connection) => connection.isUsable),
        );
    }
  }

  destroy(): void {
    this.#destroyed = true;
    for (const connection of this.#connections) connection.destroy('dropped');
    for (const socket of this.#sockets) socket.destroy();
    this.#idle.clear();
  }

  #assertCurrent(confirmed = true): void {
    if (!confirmed || this.#destroyed) throw new UpstreamConnectError('superseded');
  }
}

/** Waits until a socket is connected. @throws UpstreamConnectError where it is not within `timeoutMs` */
async function opened(socket: Socket, timeoutMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => reject(new UpstreamConnectError('unreachable')), timeoutMs);
  socket.once('connect', () => resolve(undefined));
  // The listener stays: an error that comes while the route is confirmed must not be uncaught.
  socket.on('error', () => reject(new UpstreamConnectError('unreachable')));
  socket.once('close', () => reject(new UpstreamConnectError('superseded')));
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
}
