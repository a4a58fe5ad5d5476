import type { Logger } from './logger.ts';

/** The resources of a running app, released in reverse order on shutdown. */
export interface Shutdown {
  /** True once a stop was requested. `/readyz` then answers 503. */
  readonly stopping: boolean;
  /**
   * Registers a release. The last registered runs first.
   * @param timeoutMs time after which the next release starts; by default 30 s, and less once
   * another release has timed out
   */
  onShutdown(what: string, release: () => unknown, timeoutMs?: number): void;
  /** Runs all releases. */
  stop(): Promise<void>;
}

/** Default timeout of one release, milliseconds. */
export const RELEASE_TIMEOUT_MS = 30_000;

/**
 * Default timeout once a release has timed out, milliseconds. Most releases wait for the same
 * service: without Redis, ten of them would take five minutes.
 */
const FURTHER_TIMEOUT_MS = 3_000;

/** Creates the stack of releases. A release that fails or hangs does not prevent the others. */
export function createShutdown(logger: Logger): Shutdown {
  const stack: { what: string; release: () => unknown; timeoutMs: number | undefined }[] = [];
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
        const byDefault = hasTimedOut ? FURTHER_TIMEOUT_MS : RELEASE_TIMEOUT_MS;
        timer = setTimeout(timeOut, timeoutMs ?? byDefault);
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
    onShutdown(what, release, timeoutMs) {
      stack.push({ what, release, timeoutMs });
    },
    stop() {
      stopped ??= releaseAll();
      return stopped;
    },
  };

  return shutdown;
}
