import type { Logger } from './logger.ts';

/** The resources of a running app, released in reverse order on shutdown. */
export interface Shutdown {
  /** True once a stop was requested. `/readyz` then answers 503. */
  readonly stopping: boolean;
  /**
   * Registers a release. The last registered runs first.
   * @param timeoutMs time after which the next release starts
   */
  onShutdown(what: string, release: () => unknown, timeoutMs?: number): void;
  /** Runs all releases. */
  stop(): Promise<void>;
}

/** Default timeout of one release, milliseconds. */
const RELEASE_TIMEOUT_MS = 30_000;

/**
 * Timeout of each further release once one has timed out, milliseconds. Most releases wait for the
 * same service: without Redis, ten of them would take five minutes.
 */
const FURTHER_TIMEOUT_MS = 1_000;

/** Creates the stack of releases. A release that fails or hangs does not prevent the others. */
export function createShutdown(logger: Logger): Shutdown {
  const stack: { what: string; release: () => unknown; timeoutMs: number }[] = [];
  let stopped: Promise<void> | undefined;

  const releaseAll = async (): Promise<void> => {
    let hasTimedOut = false;
    for (const { what, release, timeoutMs } of stack.reverse()) {
      let timer: NodeJS.Timeout | undefined;
      const timeout = new Promise((_, reject) => {
        const timeOut = () => {
          hasTimedOut = true;
          reject(new Error('timed out'));
        };
        timer = setTimeout(timeOut, hasTimedOut ? FURTHER_TIMEOUT_MS : timeoutMs);
      });
      try {
        await Promise.race([release(), timeout]);
      } catch (error) {
        logger.error({ err: error, what }, 'shutdown step failed; continuing with the next');
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

  return shutdown;
}
