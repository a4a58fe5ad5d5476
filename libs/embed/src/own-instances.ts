import type { Instance } from '@ephemera/domain';
import { requestKill } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import { type InstancePorts, waitUntilGone } from './instance.ts';

/** A record is kept this long beyond the maximum lifetime: clocks may differ. Milliseconds. */
const SPARE_MS = 60_000;
/** How many records are added before those of ended instances are removed. */
const SWEEP_EVERY = 1_000;
/** How many instances are ended at the same time. */
const KILLS_AT_ONCE = 50;

/**
 * The instances that one object of the library has started, by calls and by visitors. Instances of
 * other processes, and of earlier runs of this one, are not among them.
 */
export class OwnInstances {
  readonly #ports: InstancePorts;
  readonly #logger: Logger;
  /** The end of the maximum lifetime by id, epoch ms. */
  readonly #ends = new Map<string, number>();
  #added = 0;

  constructor(ports: InstancePorts, logger: Logger) {
    this.#ports = ports;
    this.#logger = logger;
  }

  /** How many instances are recorded; some may have ended. */
  get size(): number {
    return this.#ends.size;
  }

  add({ id, maxExpiresAt }: Pick<Instance, 'id' | 'maxExpiresAt'>): void {
    this.#ends.set(id, maxExpiresAt);
    if (++this.#added % SWEEP_EVERY === 0) this.#sweep();
  }

  /**
   * Ends all, and resolves with their number once their containers are removed.
   * @throws the reason of `signal` if it aborts; the rest ends later, at the latest at its TTL
   */
  async killAll(signal: AbortSignal): Promise<number> {
    const ids = [...this.#ends.keys()];
    let ended = 0;
    for (let at = 0; at < ids.length; at += KILLS_AT_ONCE) {
      const part = ids.slice(at, at + KILLS_AT_ONCE);
      const outcomes = await Promise.all(
        part.map(async (id) => {
          signal.throwIfAborted();
          return await requestKill(this.#ports.killPorts, id);
        }),
      );
      ended += outcomes.filter(({ kind }) => kind === 'draining').length;
    }
    await Promise.all(ids.map((id) => this.#gone(id, signal)));
    this.#logger.info({ ended }, 'instances of this process ended');
    return ended;
  }

  async #gone(id: string, signal: AbortSignal): Promise<void> {
    await waitUntilGone(this.#ports, id, signal);
    this.#ends.delete(id);
  }

  #sweep(): void {
    const now = Date.now() - SPARE_MS;
    for (const [id, end] of this.#ends) if (end < now) this.#ends.delete(id);
  }
}
