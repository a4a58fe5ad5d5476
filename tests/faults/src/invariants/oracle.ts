import type { Broken } from './invariants.ts';

/** Default time limit of a recovery, ms. */
const RECOVERY_MS = 30_000;
/** How long later snapshots must confirm a violation after its time limit, ms. */
const CONFIRMATION_MS = 4_000;
/** Limit for violations whose text changes in every snapshot, ms. */
const CHANGING_MS = 20_000;

/**
 * Decides from successive snapshots which invariants are broken. A violation counts if it outlasts
 * its time limit and later snapshots confirm it. A transition that is only late does not count, for
 * example the replacement of a warm instance.
 */
export class Oracle {
  /** Time of the first snapshot of an unbroken sequence with late violations. */
  #lateSince: number | undefined;
  readonly #late = new Map<string, { readonly broken: Broken; readonly until: number }>();
  #verdict: Broken[] = [];

  get verdict(): readonly Broken[] {
    return this.#verdict;
  }

  /**
   * @param took time since the recovery began, ms
   * @returns whether the result is final
   */
  observe(broken: readonly Broken[], took: number): boolean {
    const now = new Map(broken.map((item) => [`${item.invariant}: ${item.what}`, item]));
    for (const name of this.#late.keys()) {
      if (!now.has(name)) this.#late.delete(name);
    }
    for (const [name, item] of now) {
      const { timeoutMs = RECOVERY_MS } = item;
      if (took <= timeoutMs || this.#late.has(name)) continue;
      const keepsChanging = took - (this.#lateSince ?? took) > CHANGING_MS;
      this.#late.set(name, { broken: item, until: keepsChanging ? took : took + CONFIRMATION_MS });
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
