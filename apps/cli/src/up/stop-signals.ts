/** Signals within this time are one wish: npm hands on what the terminal sent us as well. */
const repeatedSignalMs = 500;

/** Why a start or a run ends: somebody asked for it. */
export class Stopped extends Error {
  override name = 'Stopped';
}

/**
 * Aborts at the first Ctrl-C, SIGTERM or SIGHUP, and calls `force` at a second Ctrl-C or SIGTERM.
 * SIGHUP never forces: the kernel and the shell both send it when a terminal closes.
 *
 * @param note is called at the first, to show that it was heard
 */
export function onStopSignals(note: () => void, force: () => void): AbortSignal {
  const controller = new AbortController();
  let firstAt: number | undefined;
  const heard = (signal: NodeJS.Signals) => {
    if (firstAt === undefined) {
      firstAt = performance.now();
      note();
      controller.abort(new Stopped());
    } else if (signal !== 'SIGHUP' && performance.now() - firstAt > repeatedSignalMs) {
      force();
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, heard);
  return controller.signal;
}
