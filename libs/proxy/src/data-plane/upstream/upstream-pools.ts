import type { ReadyRoute } from '@ephemera/domain';
import type { CachedRoute, RouteCache } from '@ephemera/store';
import { UpstreamPool, type UpstreamPoolContext } from './upstream-pool.ts';

/** How upstream connections are kept; milliseconds. */
export interface UpstreamLimits {
  /** How long a connection may take to open. */
  readonly connectTimeout: number;
  /** How long an idle connection is kept; shorter than instances keep theirs. */
  readonly idleTimeout: number;
  /** How long an instance may be silent before its answer begins. */
  readonly responseTimeout: number;
}

type Routes = Pick<RouteCache, 'peek' | 'find' | 'confirm' | 'onDrop'>;

const TICK = 250;
/** However far a deadline is, the route is looked at again by then: a renewal may shorten it. */
const MAX_WATCH = 5_000;

export function createUpstreamPools(routes: Routes, limits: UpstreamLimits): UpstreamPools {
  return new UpstreamPools(routes, limits);
}

/** The agents of this process, one for each id at most, of the generation that is current. */
export class UpstreamPools implements UpstreamPoolContext {
  readonly connectTimeout: number;
  now = performance.now();
  readonly #limits: UpstreamLimits;
  readonly #routes: Routes;
  readonly #pools = new Map<string, UpstreamPool>();
  readonly #ticker: NodeJS.Timeout;

  constructor(routes: Routes, limits: UpstreamLimits) {
    this.#routes = routes;
    this.#limits = limits;
    this.connectTimeout = limits.connectTimeout;
    this.#ticker = setInterval(() => this.#sweep(), TICK).unref();
    routes.onDrop((id, generation) => {
      const agent = this.#pools.get(id);
      if (agent?.generation === generation) this.#drop(agent);
    });
  }

  /** The agent of a route that was found ready; agents of other generations end. */
  of(id: string, route: ReadyRoute, deadline: number): UpstreamPool {
    const known = this.#pools.get(id);
    if (known?.generation === route.generation) return known;
    if (known) this.#drop(known);
    const pool = new UpstreamPool(id, route, this);
    this.#pools.set(id, pool);
    this.#watch(pool, deadline);
    return pool;
  }

  async confirms(id: string, generation: number): Promise<boolean> {
    const found = await this.#routes.confirm(id);
    return isCurrent(found, generation);
  }

  /** Ends every connection and tunnel. */
  destroy(): void {
    clearInterval(this.#ticker);
    for (const pool of this.#pools.values()) this.#drop(pool);
  }

  /** At the deadline everything that is open ends, whoever else is alive; a renewal moves it. */
  #watch(pool: UpstreamPool, deadline: number): void {
    const wait = Math.min(Math.max(deadline - performance.now(), 0), MAX_WATCH);
    setTimeout(() => void this.#recheck(pool), wait).unref();
  }

  async #recheck(pool: UpstreamPool): Promise<void> {
    if (this.#pools.get(pool.id) !== pool) return;
    const found = await this.#routes.find(pool.id).catch(() => undefined);
    if (found && isCurrent(found, pool.generation)) this.#watch(pool, found.deadline);
    else this.#drop(pool);
  }

  #drop(pool: UpstreamPool): void {
    if (this.#pools.get(pool.id) === pool) this.#pools.delete(pool.id);
    pool.destroy();
  }

  #sweep(): void {
    this.now = performance.now();
    const { idleTimeout, responseTimeout } = this.#limits;
    for (const pool of this.#pools.values()) {
      pool.sweep(idleTimeout, responseTimeout);
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
