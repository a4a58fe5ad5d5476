import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { MAX_PIPELINED_REQUESTS } from './data-plane/limits.ts';

type Handler = (req: IncomingMessage, res: ServerResponse) => unknown;

/** How many requests of a connection wait for earlier responses. */
const waiting = new WeakMap<Socket, number>();

/**
 * Calls `start` once the responses to earlier requests of the connection were sent (pipelining).
 * Until then, node:http may not report to a response that the connection has closed. A connection
 * with more than `MAX_PIPELINED_REQUESTS` waiting requests is destroyed.
 */
export function inPipelineOrder(res: ServerResponse, start: () => unknown): void {
  if (res.socket) {
    start();
    return;
  }
  const { socket } = res.req;
  const others = waiting.get(socket) ?? 0;
  if (others >= MAX_PIPELINED_REQUESTS) {
    socket.destroy();
    return;
  }
  waiting.set(socket, others + 1);
  res.once('socket', () => {
    waiting.set(socket, (waiting.get(socket) ?? 1) - 1);
    start();
  });
}

/** The requests of a server whose response was not sent in full; a shutdown waits for them. */
export class InFlightRequests {
  readonly #responses = new Set<ServerResponse>();
  readonly #stopping = new AbortController();
  #deadline: number | undefined;
  #onNone: (() => void) | undefined;

  /** Aborts when a drain begins: endless responses have to end then. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** The same handler, tracked, and called in pipeline order. */
  track(handler: Handler): Handler {
    return (req, res) =>
      inPipelineOrder(res, () => {
        this.#responses.add(res);
        if (this.stopping.aborted) res.shouldKeepAlive = false;
        res.once('close', () => {
          this.#responses.delete(res);
          if (this.#responses.size === 0) this.#onNone?.();
        });
        return handler(req, res);
      });
  }

  /** Waits until no request is in flight, at most `deadlineMs`. A second call keeps the deadline. */
  async drain(deadlineMs: number): Promise<void> {
    // A client could send another request on a kept connection just before the process exits.
    for (const res of this.#responses) res.shouldKeepAlive = false;
    this.#stopping.abort();
    this.#deadline ??= performance.now() + deadlineMs;
    if (this.#responses.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#onNone = () => resolve(undefined);
    const timer = setTimeout(resolve, this.#deadline - performance.now(), undefined);
    await promise;
    clearTimeout(timer);
  }
}

/** Aborts when the client disconnects and, for an endless response, when the replica stops. */
export function abortOnClose(res: ServerResponse, stopping: AbortSignal | undefined): AbortSignal {
  const closed = new AbortController();
  res.once('close', () => closed.abort());
  return stopping ? AbortSignal.any([closed.signal, stopping]) : closed.signal;
}
