/** A wait for one ring; the bell hangs from when it was made. */
export interface SignalSubscription {
  /** Resolves at the first ring since the bell was hung, or after `withinMs`. */
  wait(timeoutMs: number): Promise<unknown>;
  dispose(): void;
}

/** Bells by name: whoever waits hangs one up, and whoever knows of a change rings. */
export class KeyedSignal {
  readonly #subscribers = new Map<string, Set<(value: undefined) => void>>();

  /** Hang it before looking at what may change, and no change can slip between the two. */
  subscribe(name: string, signal?: AbortSignal): SignalSubscription {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const signals = this.#subscribers.get(name) ?? new Set();
    this.#subscribers.set(name, signals.add(resolve));
    const stop = () => resolve(undefined);
    signal?.addEventListener('abort', stop, { once: true });
    let timer: NodeJS.Timeout | undefined;
    return {
      wait: (timeoutMs) => {
        timer = setTimeout(resolve, timeoutMs, undefined);
        return promise;
      },
      dispose: () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', stop);
        signals.delete(resolve);
        if (signals.size === 0 && this.#subscribers.get(name) === signals)
          this.#subscribers.delete(name);
      },
    };
  }

  notify(name: string): void {
    for (const resolve of this.#subscribers.get(name) ?? []) resolve(undefined);
  }

  notifyAll(): void {
    for (const name of this.#subscribers.keys()) this.notify(name);
  }
}
