/** What a run has started and not taken away yet. */
const open = new Set<() => Promise<void>>();

/** Gives what takes something away, once; a run that is broken off does it too. */
export function closing(close: () => Promise<void>): () => Promise<void> {
  let closed: Promise<void> | undefined;
  // Who asks again waits for it too.
  const once = () => (closed ??= close().finally(() => open.delete(once)));
  open.add(once);
  return once;
}

/** Takes away whatever a run has started, for one that is broken off; the last first. */
export async function stopAll(): Promise<void> {
  for (const stop of [...open].reverse()) await stop();
}

/** Has a signal end the process once everything is taken away. */
export function stopOnSignals(): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => void stopAll().finally(() => process.exit(1)));
  }
}
