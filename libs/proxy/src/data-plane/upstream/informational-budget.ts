import {
  INFORMATIONAL_BURST,
  INFORMATIONAL_PER_SECOND,
  MAX_INFORMATIONAL_BYTES,
} from '../limits.ts';

/**
 * Bounds the informational responses (1xx) before one final response by rate and by bytes. Their
 * number has no bound, because an instance may report progress during hours of work.
 */
export class InformationalBudget {
  #available = INFORMATIONAL_BURST;
  #bytes = 0;
  #at: number;

  /** @param now monotonic ms */
  constructor(now = performance.now()) {
    this.#at = now;
  }

  /**
   * Counts one informational response. Returns false if the instance sends too many of them.
   * @param bytes length of its head
   * @param now monotonic ms
   */
  take(bytes: number, now = performance.now()): boolean {
    const refill = ((now - this.#at) / 1_000) * INFORMATIONAL_PER_SECOND;
    this.#available = Math.min(INFORMATIONAL_BURST, this.#available + refill);
    this.#at = now;
    if (this.#available < 1) return false;
    this.#available--;
    this.#bytes += bytes;
    return this.#bytes <= MAX_INFORMATIONAL_BYTES;
  }
}
