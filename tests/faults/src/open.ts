/** Cleanup functions that have not run yet. */
const open = new Set<() => Promise<void>>();

/**
 * Registers a cleanup function. The returned function runs it once; `stopAll` runs it too if the
 * run is interrupted.
 */
export function registerCleanup(close: () => Promise<void>): () => Promise<void> {
  let closed: Promise<void> | undefined;
  // A second call waits for the first one.
  const once = () => (closed ??= close().finally(() => open.delete(once)));
  open.add(once);
  return once;
}

/** Runs all remaining cleanup functions in reverse order. */
export async function stopAll(): Promise<void> {
  for (const stop of [...open].reverse()) await stop();
}

/** Makes a signal run the cleanup functions and then exit the process. */
export function stopOnSignals(): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => void stopAll().finally(() => process.exit(1)));
  }
}
