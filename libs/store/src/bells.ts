/** A wait for one ring; the bell hangs from when it was made. */
export interface Bell {
  /** Resolves at the first ring since the bell was hung, or after `withinMs`. */
  rung(withinMs: number): Promise<unknown>;
  take(): void;
}

/** Bells by name: whoever waits hangs one up, and whoever knows of a change rings. */
export class Bells {
  readonly #hung = new Map<string, Set<(value: undefined) => void>>();

  /** Hang it before looking at what may change, and no change can slip between the two. */
  hang(name: string, signal?: AbortSignal): Bell {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const bells = this.#hung.get(name) ?? new Set();
    this.#hung.set(name, bells.add(resolve));
    const stop = () => resolve(undefined);
    signal?.addEventListener('abort', stop, { once: true });
    let timer: NodeJS.Timeout | undefined;
    return {
      rung: (withinMs) => {
        timer = setTimeout(resolve, withinMs, undefined);
        return promise;
      },
      take: () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', stop);
        bells.delete(resolve);
        if (bells.size === 0 && this.#hung.get(name) === bells) this.#hung.delete(name);
      },
    };
  }

  ring(name: string): void {
    for (const resolve of this.#hung.get(name) ?? []) resolve(undefined);
  }

  ringAll(): void {
    for (const name of this.#hung.keys()) this.ring(name);
  }
}
