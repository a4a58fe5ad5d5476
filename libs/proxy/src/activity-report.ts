import { ACTIVITY_PERIOD } from '@ephemera/domain';
import type { Leases } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { Activity } from './data-plane/watch-use.ts';

/**
 * Gathers the use of instances and tells of it once a period, in one write however much there was.
 * A period that could not be told is told with the next: no use is lost to a Redis that was away.
 */
export class ActivityReport implements Activity {
  readonly #open = new Map<string, number>();
  #used = new Set<string>();
  readonly #leases: Pick<Leases, 'touch'>;
  readonly #logger: Pick<Logger, 'warn'>;
  #timer: NodeJS.Timeout | undefined;

  constructor(leases: Pick<Leases, 'touch'>, logger: Pick<Logger, 'warn'>) {
    this.#leases = leases;
    this.#logger = logger;
  }

  start(): void {
    this.#timer = setInterval(() => void this.flush(), ACTIVITY_PERIOD);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  opened(id: string): void {
    this.#used.add(id);
    this.#open.set(id, (this.#open.get(id) ?? 0) + 1);
  }

  closed(id: string): void {
    this.#used.add(id);
    const left = (this.#open.get(id) ?? 1) - 1;
    if (left > 0) this.#open.set(id, left);
    else this.#open.delete(id);
  }

  used(id: string): void {
    this.#used.add(id);
  }

  /** Tells of everything since the last time, and of all that is open. */
  async flush(): Promise<void> {
    const used = this.#used;
    for (const id of this.#open.keys()) used.add(id);
    if (used.size === 0) return;
    this.#used = new Set();
    try {
      await this.#leases.touch([...used]);
    } catch (error) {
      for (const id of used) this.#used.add(id);
      this.#logger.warn({ err: error }, 'use of instances could not be told');
    }
  }
}
