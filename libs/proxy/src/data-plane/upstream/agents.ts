import type { ReadyRoute } from '@ephemera/domain';
import type { CachedRoute, RouteCache } from '@ephemera/store';
import { Agent, type AgentContext } from './agent.ts';

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

export function createUpstreamPools(routes: Routes, limits: UpstreamLimits): Agents {
  return new Agents(routes, limits);
}

/** The agents of this process, one for each id at most, of the generation that is current. */
export class Agents implements AgentContext {
  readonly connectTimeout: number;
  now = performance.now();
  readonly #limits: UpstreamLimits;
  readonly #routes: Routes;
  readonly #agents = new Map<string, Agent>();
  readonly #ticker: NodeJS.Timeout;

  constructor(routes: Routes, limits: UpstreamLimits) {
    this.#routes = routes;
    this.#limits = limits;
    this.connectTimeout = limits.connectTimeout;
    this.#ticker = setInterval(() => this.#sweep(), TICK).unref();
    routes.onDrop((id, generation) => {
      const agent = this.#agents.get(id);
      if (agent?.generation === generation) this.#drop(agent);
    });
  }

  /** The agent of a route that was found ready; agents of other generations end. */
  of(id: string, route: ReadyRoute, deadline: number): Agent {
    const known = this.#agents.get(id);
    if (known?.generation === route.generation) return known;
    if (known) this.#drop(known);
    const agent = new Agent(id, route, this);
    this.#agents.set(id, agent);
    this.#watch(agent, deadline);
    return agent;
  }

  async confirms(id: string, generation: number): Promise<boolean> {
    const found = await this.#routes.confirm(id);
    return isCurrent(found, generation);
  }

  /** Ends every connection and tunnel. */
  destroy(): void {
    clearInterval(this.#ticker);
    for (const agent of this.#agents.values()) this.#drop(agent);
  }

  /** At the deadline everything that is open ends, whoever else is alive; a renewal moves it. */
  #watch(agent: Agent, deadline: number): void {
    const wait = Math.min(Math.max(deadline - performance.now(), 0), MAX_WATCH);
    setTimeout(() => void this.#lookAgain(agent), wait).unref();
  }

  async #lookAgain(agent: Agent): Promise<void> {
    if (this.#agents.get(agent.id) !== agent) return;
    const found = await this.#routes.find(agent.id).catch(() => undefined);
    if (found && isCurrent(found, agent.generation)) this.#watch(agent, found.deadline);
    else this.#drop(agent);
  }

  #drop(agent: Agent): void {
    if (this.#agents.get(agent.id) === agent) this.#agents.delete(agent.id);
    agent.destroy();
  }

  #sweep(): void {
    this.now = performance.now();
    const { idleTimeout, responseTimeout } = this.#limits;
    for (const agent of this.#agents.values()) {
      agent.sweep(idleTimeout, responseTimeout);
      if (agent.isUnused) this.#agents.delete(agent.id);
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
