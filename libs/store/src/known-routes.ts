import type { CachedRoute } from './route-reader.ts';

/** Hears of generations that were known, ready, and are not the ones to use any more. */
export type DropListener = (id: string, generation: number) => void;

/** The routes that a process knows: the fresh ones, and those that it cannot vouch for any more. */
export class KnownRoutes {
  readonly fresh = new Map<string, CachedRoute>();
  readonly stale = new Map<string, CachedRoute>();
  readonly #capacity: number;
  readonly #listeners: DropListener[] = [];

  /** @param capacity of fresh routes; the one that came first goes first */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.fresh.size + this.stale.size;
  }

  get ids(): string[] {
    return [...this.fresh.keys(), ...this.stale.keys()];
  }

  onDrop(listener: DropListener): void {
    this.#listeners.push(listener);
  }

  /** Takes what the store said of an id, and tells of the generation that it replaces. */
  keep(id: string, found: CachedRoute | undefined, isFresh: boolean): void {
    const before = this.remove(id);
    if (found) (isFresh ? this.fresh : this.stale).set(id, found);
    if (before) this.replaced(id, before, found);
    if (this.fresh.size > this.#capacity) this.#evict();
  }

  /** Forgets a route without telling anybody: what replaces it is not known yet. */
  remove(id: string): CachedRoute | undefined {
    const before = this.fresh.get(id) ?? this.stale.get(id);
    this.fresh.delete(id);
    this.stale.delete(id);
    return before;
  }

  /** Tells of a generation, unless what is there now is the same one, ready as before. */
  replaced(id: string, before: CachedRoute, now: CachedRoute | undefined): void {
    const { generation } = before.route;
    if (now?.route.state === 'ready' && now.route.generation === generation) return;
    if (before.route.state !== 'ready') return;
    for (const listener of this.#listeners) listener(id, generation);
  }

  /** From now on nobody vouches for any of them. */
  goStale(): void {
    for (const [id, route] of this.fresh) this.stale.set(id, route);
    this.fresh.clear();
  }

  /** Some of the stale ones, `count` at most. */
  someStale(count: number): [id: string, route: CachedRoute][] {
    const some: [string, CachedRoute][] = [];
    for (const entry of this.stale) if (some.push(entry) === count) break;
    return some;
  }

  #evict(): void {
    const [first] = this.fresh.keys();
    const before = first === undefined ? undefined : this.remove(first);
    if (first !== undefined && before) this.replaced(first, before, undefined);
  }
}
