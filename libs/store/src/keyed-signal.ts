/** Waits for one notification. It counts notifications since `subscribe`. */
export interface SignalSubscription {
  /** Resolves at the first notification since `subscribe`, or after `timeoutMs`. */
  wait(timeoutMs: number): Promise<unknown>;
  dispose(): void;
}

/** Signals by key: `notify` resolves the waits of all subscribers of the key. */
export class KeyedSignal {
  readonly #subscribers = new Map<string, Set<(value: undefined) => void>>();

  /**
   * Subscribe before you read the state that may change. Then no change is missed between the two.
   */
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
