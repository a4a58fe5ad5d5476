import type { Logger } from './logger.ts';

/** What an app holds while it runs, given back in reverse order when it stops. */
export interface Shutdown {
  /** True once a stop was asked for: `/readyz` says no from then on. */
  readonly stopping: boolean;
  /**
   * Adds something to give back; the last added is the first given back.
   * @param withinMs how long that may take before the next is tried
   */
  onShutdown(what: string, release: () => unknown, timeoutMs?: number): void;
  /** Gives everything back, and ends the process where it was asked by a signal. */
  stop(): Promise<void>;
}

/** How long one release may take where nothing else is said, milliseconds. */
const RELEASE_TIMEOUT_MS = 30_000;

/**
 * Stops on SIGTERM and SIGINT, in reverse order of what was taken; a second signal forces.
 * One release that fails or hangs does not keep the others from running.
 */
export function createShutdown(logger: Logger): Shutdown {
  const stack: { what: string; release: () => unknown; timeoutMs: number }[] = [];
  let stopped: Promise<void> | undefined;

  const releaseAll = async (): Promise<void> => {
    for (const { what, release, timeoutMs } of stack.reverse()) {
      let timer: NodeJS.Timeout | undefined;
      const timeout = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error('took too long')), timeoutMs);
      });
      try {
        await Promise.race([release(), timeout]);
      } catch (error) {
        logger.error({ err: error, what }, 'release failed');
      } finally {
        clearTimeout(timer);
      }
    }
  };

  const shutdown: Shutdown = {
    get stopping() {
      return stopped !== undefined;
    },
    onShutdown(what, release, timeoutMs = RELEASE_TIMEOUT_MS) {
      stack.push({ what, release, timeoutMs });
    },
    stop() {
      stopped ??= releaseAll();
      return stopped;
    },
  };

  let signals = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    signals++;
    if (signals > 1) process.exit(1);
    logger.info({ signal }, 'stopping');
    void shutdown.stop().then(() => {
      logger.info('stopped');
      process.exit(0);
    });
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return shutdown;
}
