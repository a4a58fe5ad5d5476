/** Signals within this time count as one: npm forwards the signal that the terminal also sends. */
const repeatedSignalMs = 500;

/** The reason of a stop that the user requested. */
export class Stopped extends Error {
  override name = 'Stopped';
}

/**
 * Aborts at the first Ctrl-C, SIGTERM or SIGHUP, and calls `force` at a second Ctrl-C or SIGTERM.
 * SIGHUP never forces: the kernel and the shell both send it when a terminal closes.
 *
 * @param note called at the first signal, to confirm it
 */
export function onStopSignals(note: () => void, force: () => void): AbortSignal {
  const controller = new AbortController();
  let firstAt: number | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (firstAt === undefined) {
      firstAt = performance.now();
      note();
      controller.abort(new Stopped());
    } else if (signal !== 'SIGHUP' && performance.now() - firstAt > repeatedSignalMs) {
      force();
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  return controller.signal;
}
