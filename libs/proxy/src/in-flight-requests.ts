import type { IncomingMessage, ServerResponse } from 'node:http';
import { inPipelineOrder } from './pipeline-order.ts';

type Handler = (req: IncomingMessage, res: ServerResponse) => unknown;

/** Answers that a server has begun to work at and that have not left, to be waited for at a stop. */
export class InFlightRequests {
  readonly #responses = new Set<ServerResponse>();
  readonly #stopping = new AbortController();
  #deadline: number | undefined;
  #onIdle: (() => void) | undefined;

  /** Aborts when a drain begins: answers without an end of their own end then. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** The same handler, counted; each request in its turn on its connection. */
  track(handler: Handler): Handler {
    return (req, res) =>
      inPipelineOrder(res, () => {
        this.#responses.add(res);
        if (this.stopping.aborted) res.shouldKeepAlive = false;
        res.once('close', () => {
          this.#responses.delete(res);
          if (this.#responses.size === 0) this.#onIdle?.();
        });
        return handler(req, res);
      });
  }

  /** Waits until nothing is under way, at most for `deadlineMs`; once more, to the same deadline. */
  async drain(deadlineMs: number): Promise<void> {
    // A connection that is kept would take a request just as the process ends.
    for (const res of this.#responses) res.shouldKeepAlive = false;
    this.#stopping.abort();
    this.#deadline ??= performance.now() + deadlineMs;
    if (this.#responses.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#onIdle = () => resolve(undefined);
    const timer = setTimeout(resolve, this.#deadline - performance.now(), undefined);
    await promise;
    clearTimeout(timer);
  }
}

/** Aborts when the client of a long answer has gone, and where it is endless when the replica stops. */
export function abortOnClose(res: ServerResponse, stopping: AbortSignal | undefined): AbortSignal {
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  return stopping ? AbortSignal.any([gone.signal, stopping]) : gone.signal;
}
