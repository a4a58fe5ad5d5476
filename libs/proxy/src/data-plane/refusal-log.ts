import type { Logger } from '@ephemera/process';
import type { Refusal } from './early-response.ts';

/** Lines that one interval may have. */
const MAX_LINES = 20;
const INTERVAL_MS = 10_000;

/** What is known about a refused request. */
export interface RefusedRequest {
  /** Address of the client, or of the load balancer in front of it. */
  readonly address: string | undefined;
  readonly method?: string | undefined;
  /** The error of the parser, if it refused the request. */
  readonly cause?: NodeJS.ErrnoException & { readonly reason?: string };
}

/**
 * Logs why requests were refused, so that an operator can find out why a client fails. Strangers
 * decide how many requests are refused, so each interval has a limited number of lines; the first
 * line of the next one says how many were left out.
 */
export class RefusalLog {
  readonly #logger: Pick<Logger, 'info'>;
  readonly #clock: () => number;
  #intervalEnd = 0;
  #lines = 0;
  #leftOut = 0;

  /** @param clock monotonic ms */
  constructor(logger: Pick<Logger, 'info'>, clock: () => number = () => performance.now()) {
    this.#logger = logger;
    this.#clock = clock;
  }

  add({ status, detail }: Refusal, { address, method, cause }: RefusedRequest): void {
    const now = this.#clock();
    if (now >= this.#intervalEnd) {
      this.#intervalEnd = now + INTERVAL_MS;
      this.#lines = 0;
    }
    if (++this.#lines > MAX_LINES) {
      this.#leftOut++;
      return;
    }
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    // The message of llhttp, such as "Invalid character in Content-Length", has no bytes of the
    // client.
    const parser = cause && { code: cause.code, message: cause.reason ?? cause.message };
    this.#logger.info(
      { status, detail, address, method, parser, ...(leftOut > 0 && { leftOut }) },
      'request refused',
    );
  }
}
