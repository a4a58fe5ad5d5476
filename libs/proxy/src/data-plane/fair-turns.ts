/** How many go in one turn: each is some 25 µs of work, most of it the kernel's. */
const AT_ONCE = 8;
/** Where more wait than can go in so many turns, more go at once: the rest must not grow. */
const WITHIN = 64;

/** Has something to pass on, and waits for its turn to do so. */
export interface Waiting {
  onTurn(): void;
}

/**
 * Spreads over many turns of the event loop what many clients send at one instant, so that whoever
 * asks for something else meanwhile does not stand behind all of it.
 */
export class FairTurns {
  readonly #waiting = new Set<Waiting>();
  #left = AT_ONCE;
  #isArmed = false;

  /** Whether one more may go in this turn; where not, it is to `wait`. */
  take(): boolean {
    this.#arm();
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }

  /** Has its turn behind all that wait already, once. */
  wait(one: Waiting): void {
    this.#waiting.add(one);
  }

  /** Has no turn any more. */
  leave(one: Waiting): void {
    this.#waiting.delete(one);
  }

  #arm(): void {
    if (this.#isArmed) return;
    this.#isArmed = true;
    setImmediate(this.#begin);
  }

  readonly #begin = (): void => {
    this.#isArmed = false;
    let due = Math.max(AT_ONCE, Math.ceil(this.#waiting.size / WITHIN));
    this.#left = Math.max(0, AT_ONCE - this.#waiting.size);
    if (this.#waiting.size > 0) this.#arm();
    for (const one of this.#waiting) {
      if (due-- === 0) return;
      this.#waiting.delete(one);
      one.onTurn();
    }
  };
}
