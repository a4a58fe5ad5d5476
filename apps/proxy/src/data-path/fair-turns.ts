/** How many pieces are passed on in one turn: some 25 µs of work each, most of it the kernel's. */
const AT_ONCE = 8;

/** Passes a piece on. @param waited whether it had to wait for its turn */
type Send = (waited: boolean) => void;

/**
 * Spreads over many turns of the event loop what many clients send at one instant, so that whoever
 * asks for something else meanwhile does not stand behind all of it.
 */
export class FairTurns {
  readonly #waiting: Send[] = [];
  #left = AT_ONCE;
  #isArmed = false;

  /**
   * Calls `send` at once, or in a later turn where this one has had enough: false then. All are
   * called in the order in which they came.
   */
  pass(send: Send): boolean {
    this.#arm();
    // As long as any wait, nothing is left of a turn for others.
    if (this.#left === 0) {
      this.#waiting.push(send);
      return false;
    }
    this.#left--;
    send(false);
    return true;
  }

  #arm(): void {
    if (this.#isArmed) return;
    this.#isArmed = true;
    setImmediate(this.#begin);
  }

  readonly #begin = (): void => {
    const due = this.#waiting.splice(0, AT_ONCE);
    this.#left = AT_ONCE - due.length;
    this.#isArmed = false;
    if (due.length > 0) this.#arm();
    for (const send of due) send(true);
  };
}
