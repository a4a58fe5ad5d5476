import { ContainerPausedError } from '../docker/exec-processes.ts';
import { MAX_KILL_PAUSE_MS } from './limits.ts';

/**
 * Repeats a kill that fails, after pauses that double, up to a number of failures. In a paused
 * container no kill is possible. That is not counted, because the container may be paused for long.
 */
export class KillRetries {
  readonly #max: number;
  readonly #pauseMs: number;
  #failures = 0;
  /** By `performance.now()`. */
  #nextAt = 0;

  /**
   * @param max failures after which nothing is tried any more
   * @param pauseMs half of the pause after the first failure
   */
  constructor(max: number, pauseMs: number) {
    this.#max = max;
    this.#pauseMs = pauseMs;
  }

  get areOver(): boolean {
    return this.#failures >= this.#max;
  }

  /** Returns whether the kill was done: not if it fails, if it is over, or before the end of the pause. */
  async try(kill: () => Promise<void>, onError: (error: unknown) => void): Promise<boolean> {
    if (this.areOver || performance.now() < this.#nextAt) return false;
    try {
      await kill();
      this.#failures = 0;
      return true;
    } catch (error) {
      onError(error);
      if (error instanceof ContainerPausedError) {
        this.#nextAt = performance.now() + Math.min(this.#pauseMs * 8, MAX_KILL_PAUSE_MS);
        return false;
      }
      this.#failures++;
      const pause = Math.min(this.#pauseMs * 2 ** this.#failures, MAX_KILL_PAUSE_MS);
      this.#nextAt = performance.now() + pause;
      return false;
    }
  }
}
