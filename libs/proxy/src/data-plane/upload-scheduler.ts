/** How many go in one turn: each is some 25 µs of work, most of it the kernel's. */
const CHUNKS_PER_TICK = 8;
/** Where more wait than can go in so many turns, more go at once: the rest must not grow. */
const MAX_TICKS_TO_DRAIN = 64;

/** Has something to pass on, and waits for its turn to do so. */
export interface QueuedUpload {
  onSlot(): void;
}

/**
 * Spreads over many turns of the event loop what many clients send at one instant, so that whoever
 * asks for something else meanwhile does not stand behind all of it.
 */
export class UploadScheduler {
  readonly #waiting = new Set<QueuedUpload>();
  #slotsLeft = CHUNKS_PER_TICK;
  #isArmed = false;

  /** Whether one more may go in this turn; where not, it is to `wait`. */
  tryAcquire(): boolean {
    this.#arm();
    if (this.#slotsLeft === 0) return false;
    this.#slotsLeft--;
    return true;
  }

  /** Has its turn behind all that wait already, once. */
  enqueue(upload: QueuedUpload): void {
    this.#waiting.add(upload);
  }

  /** Has no turn any more. */
  cancel(upload: QueuedUpload): void {
    this.#waiting.delete(upload);
  }

  #arm(): void {
    if (this.#isArmed) return;
    this.#isArmed = true;
    setImmediate(this.#begin);
  }

  readonly #begin = (): void => {
    this.#isArmed = false;
    let due = Math.max(CHUNKS_PER_TICK, Math.ceil(this.#waiting.size / MAX_TICKS_TO_DRAIN));
    this.#slotsLeft = Math.max(0, CHUNKS_PER_TICK - this.#waiting.size);
    if (this.#waiting.size > 0) this.#arm();
    for (const upload of this.#waiting) {
      if (due-- === 0) return;
      this.#waiting.delete(upload);
      upload.onSlot();
    }
  };
}
