import type { CachedRoute } from './route-reader.ts';

/** Called with each ready generation that was in memory and is no longer current. */
export type DropListener = (id: string, generation: number) => void;

/** The routes that a process has in memory: fresh ones, and stale ones that must be read again. */
export class KnownRoutes {
  readonly fresh = new Map<string, CachedRoute>();
  readonly stale = new Map<string, CachedRoute>();
  readonly #capacity: number;
  readonly #listeners: DropListener[] = [];

  /** @param capacity maximum number of fresh routes; the oldest entry is evicted first */
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

  /**
   * Stores what Redis returned for an id, and notifies the listeners of the generation that it
   * replaces.
   */
  keep(id: string, found: CachedRoute | undefined, isFresh: boolean): void {
    const before = this.remove(id);
    if (found) (isFresh ? this.fresh : this.stale).set(id, found);
    if (before) this.replaced(id, before, found);
    if (this.fresh.size > this.#capacity) this.#evict();
  }

  /** Removes a route without notifying the listeners, because its replacement is not known yet. */
  remove(id: string): CachedRoute | undefined {
    const before = this.fresh.get(id) ?? this.stale.get(id);
    this.fresh.delete(id);
    this.stale.delete(id);
    return before;
  }

  /** Notifies the listeners of a generation, unless the same generation is still ready. */
  replaced(id: string, before: CachedRoute, now: CachedRoute | undefined): void {
    const { generation } = before.route;
    if (now?.route.state === 'ready' && now.route.generation === generation) return;
    if (before.route.state !== 'ready') return;
    for (const listener of this.#listeners) listener(id, generation);
  }

  /** Makes all fresh routes stale. */
  goStale(): void {
    for (const [id, route] of this.fresh) this.stale.set(id, route);
    this.fresh.clear();
  }

  /** Returns at most `count` stale routes. */
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
