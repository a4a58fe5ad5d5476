import type { Broken } from './invariants.ts';

/** How long a recovery may take, ms. */
const RECOVERY = 30_000;
/** How long what is broken is looked at again once its time is up, ms. */
const CERTAIN = 4_000;
/** How long something may be late that is told in other words at every look, ms. */
const RESTLESS = 20_000;

/**
 * Decides from successive snapshots which invariants are broken. A violation counts when it outlasts
 * its time limit and later snapshots confirm it. A transition that was only late, such as a warm
 * instance that is being replaced, does not count.
 */
export class Oracle {
  /** When the first look was that found something late, and every one since. */
  #lateSince: number | undefined;
  readonly #late = new Map<string, { readonly broken: Broken; readonly until: number }>();
  #verdict: Broken[] = [];

  get verdict(): readonly Broken[] {
    return this.#verdict;
  }

  /** @returns whether nothing more is to be waited for, `took` ms after the recovery began */
  observe(broken: readonly Broken[], took: number): boolean {
    const now = new Map(broken.map((item) => [`${item.invariant}: ${item.what}`, item]));
    for (const name of this.#late.keys()) {
      if (!now.has(name)) this.#late.delete(name);
    }
    for (const [name, item] of now) {
      const { timeoutMs = RECOVERY } = item;
      if (took <= timeoutMs || this.#late.has(name)) continue;
      const restless = took - (this.#lateSince ?? took) > RESTLESS;
      this.#late.set(name, { broken: item, until: restless ? took : took + CERTAIN });
    }
    this.#lateSince = this.#late.size > 0 ? (this.#lateSince ?? took) : undefined;
    this.#verdict = [...this.#late.values()]
      .filter(({ until }) => took >= until)
      .map((item) => item.broken);
    return broken.every((item) => this.#counted(item));
  }

  #counted({ invariant, what }: Broken): boolean {
    return this.#verdict.some((broken) => broken.invariant === invariant && broken.what === what);
  }
}
