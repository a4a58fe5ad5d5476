import { type Socket, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ReadyRoute } from '@ephemera/domain';
import { ConnectFault } from './connect-fault.ts';
import { Connection, type ConnectionKeeper } from './connection.ts';
import { Inlet } from './inlet.ts';

/** What the agents of a process have in common. */
export interface AgentContext {
  /** Coarse monotonic milliseconds. */
  readonly now: number;
  /** How long a connection may take to open, ms. */
  readonly connectTimeout: number;
  /**
   * Whether the store, asked now, still says that this generation is the one to use.
   * @throws FailureError `store_unavailable`, or `host_unregistered` as `requireRegistered`
   */
  confirms(id: string, route: ReadyRoute): Promise<boolean>;
  /**
   * Checks that the address of a route is in a network that its host has registered: elsewhere
   * the same address leads to an instance of another host.
   * @throws FailureError `host_unregistered`, or `store_unavailable` where nothing is known of it
   */
  requireRegistered(id: string, route: ReadyRoute): Promise<void>;
}

/**
 * All connections to one generation of one instance, and to nothing else: an address alone never
 * finds a socket, because the next container may have it.
 */
export class Agent implements ConnectionKeeper {
  readonly id: string;
  readonly route: ReadyRoute;
  readonly #context: AgentContext;
  readonly #idle = new Map<number, Connection[]>();
  readonly #connections = new Set<Connection>();
  /** Sockets that serve no requests: still opening, or tunnels. */
  readonly #sockets = new Set<Duplex>();
  #destroyed = false;

  constructor(id: string, route: ReadyRoute, context: AgentContext) {
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
  take(port: number): Connection | undefined {
    const idle = this.#idle.get(port);
    for (let connection = idle?.pop(); connection; connection = idle?.pop()) {
      if (connection.isUsable) return connection;
    }
    return undefined;
  }

  /** Opens a connection to serve requests. @throws like `open` */
  async connect(port: number): Promise<Connection> {
    const inlet = new Inlet();
    const socket = await this.open(port, inlet, false);
    const connection = new Connection(socket, inlet, port, this);
    this.#connections.add(connection);
    return connection;
  }

  /**
   * Opens a socket. The store is asked for the route again, behind the opening and before the
   * first byte: while it says that this generation is ready, the address cannot have been given
   * to another container, so the socket that is open already leads to this one. The registration
   * of its host is checked before, so that no packet goes to an address of another host, and with
   * the same read again.
   *
   * @param inlet who takes what arrives; nobody may be there yet
   * @throws ConnectFault, or FailureError where the store does not answer
   */
  async open(port: number, inlet: Inlet, allowHalfOpen: boolean): Promise<Socket> {
    this.#mustBeCurrent();
    await this.#context.requireRegistered(this.id, this.route);
    this.#mustBeCurrent();
    const { onread } = inlet;
    const host = this.route.address;
    const socket = connect({ host, port, noDelay: true, allowHalfOpen, onread });
    this.hold(socket);
    try {
      await opened(socket, this.#context.connectTimeout);
      this.#mustBeCurrent(await this.#context.confirms(this.id, this.route));
      // Who speaks before he is asked is not answering.
      if (socket.destroyed || inlet.spokeEarly) throw new ConnectFault('unreachable');
      return socket;
    } catch (fault) {
      socket.destroy();
      throw fault;
    } finally {
      this.#sockets.delete(socket);
    }
  }

  /** Has a socket end with the agent. */
  hold(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  onIdle(connection: Connection): void {
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
          idle.filter((one) => one.isUsable),
        );
    }
  }

  destroy(): void {
    this.#destroyed = true;
    for (const connection of this.#connections) connection.destroy('dropped');
    for (const socket of this.#sockets) socket.destroy();
    this.#idle.clear();
  }

  #mustBeCurrent(confirmed = true): void {
    if (!confirmed || this.#destroyed) throw new ConnectFault('superseded');
  }
}

/** Waits until a socket is connected. @throws ConnectFault where it is not within `timeoutMs` */
async function opened(socket: Socket, timeoutMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => reject(new ConnectFault('unreachable')), timeoutMs);
  socket.once('connect', () => resolve(undefined));
  // The listener stays: an error that comes while the route is confirmed must not be uncaught.
  socket.on('error', () => reject(new ConnectFault('unreachable')));
  socket.once('close', () => reject(new ConnectFault('superseded')));
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
}
