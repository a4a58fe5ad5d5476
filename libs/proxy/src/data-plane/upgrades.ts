import type { Socket } from 'node:net';
import type { Failure } from '@ephemera/domain';
import { choosePort } from './choose-port.ts';
import type { DataPathContext } from './context.ts';
import { destroyOnEnd } from './destroy-on-end.ts';
import { logUpstreamFailure } from './log-upstream-failure.ts';
import { authorizeAccess } from './authorize-access.ts';
import { lookUpRoute, resolveRoute } from './resolve-route.ts';
import { responseForSocket } from './response-for-socket.ts';
import { openTunnel, type Upgrade } from './tunnel.ts';
import { watchTunnel } from './watch-use.ts';

/** How many routes may turn out to be superseded on the way before a handshake is given up. */
const MAX_SUPERSEDED = 3;
/** What came behind a handshake is back in its socket once it was sent: not to be put there again. */
const NOTHING = Buffer.alloc(0);

/** Takes a checked handshake to its instance; holds it while the instance starts. */
export class Upgrades {
  readonly #context: DataPathContext;
  readonly #sockets = new Set<Socket>();

  constructor(context: DataPathContext) {
    this.#context = context;
  }

  /** Tunnels that are open or being opened. */
  get size(): number {
    return this.#sockets.size;
  }

  async open(handshake: Omit<Upgrade, 'onJoin'>): Promise<void> {
    const { socket } = handshake;
    const upgrade = { ...handshake, onJoin: destroyOnEnd(socket) };
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    await this.#route(upgrade, 0);
  }

  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #route(asked: Upgrade, superseded: number): Promise<void> {
    let upgrade = asked;
    const { req, socket, inbound } = upgrade;
    const { id, port: wanted } = inbound.address;
    const { routes, startWait, pools } = this.#context;
    const gone = new AbortController();
    const leave = () => gone.abort();
    socket.once('close', leave);
    const resolution = await resolveRoute(id, {
      routes,
      isSuperseded: superseded > 0,
      startWait,
      signal: gone.signal,
      guard: (route) => {
        const passed = authorizeAccess(req, inbound, route, this.#context);
        if (passed === undefined || 'kind' in passed) return passed ?? true;
        upgrade = { ...upgrade, inbound: passed };
        return false;
      },
      respondInstead: () => false,
    });
    socket.off('close', leave);
    if (socket.destroyed || resolution === undefined) return;
    if (resolution.kind !== 'open') {
      this.#fail(upgrade, resolution);
      return;
    }
    const { route, deadline } = resolution;
    const port = choosePort(route, wanted);
    if (port === undefined) {
      this.#fail(upgrade, { kind: 'not_found', what: 'such port' });
      return;
    }
    const pool = pools.of(id, route, deadline);
    const onOpen = () => {
      const { activity } = this.#context;
      if (activity) watchTunnel(activity, id, route, socket);
    };
    openTunnel(upgrade, { route, deadline, pool, port }, this.#context, onOpen, (fault) => {
      if (fault === 'silent') this.#fail(upgrade, { kind: 'upstream_timeout', id });
      else if (fault === 'unconfirmed') this.#fail(upgrade, { kind: 'store_unavailable' });
      else if (fault === 'superseded' && superseded < MAX_SUPERSEDED)
        void this.#route({ ...upgrade, head: NOTHING }, superseded + 1);
      else void this.#failAsRouted(upgrade);
    });
  }

  async #failAsRouted(upgrade: Upgrade): Promise<void> {
    const { id } = upgrade.inbound.address;
    const found = await lookUpRoute(this.#context.routes, id);
    if (upgrade.socket.destroyed) return;
    this.#fail(upgrade, found.kind === 'open' ? { kind: 'upstream_unreachable', id } : found);
  }

  #fail({ req, socket }: Upgrade, failure: Failure): void {
    logUpstreamFailure(this.#context.logger, failure);
    this.#context.sendFailure(req, responseForSocket(socket, req), failure);
  }
}
