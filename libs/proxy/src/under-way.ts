import type { IncomingMessage, ServerResponse } from 'node:http';
import { inTurn } from './in-turn.ts';

type Handler = (req: IncomingMessage, res: ServerResponse) => unknown;

/** Answers that a server has begun to work at and that have not left, to be waited for at a stop. */
export class UnderWay {
  readonly #answers = new Set<ServerResponse>();
  readonly #stopping = new AbortController();
  #deadline: number | undefined;
  #onNone: (() => void) | undefined;

  /** Aborts when a drain begins: answers without an end of their own end then. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** The same handler, counted; each request in its turn on its connection. */
  counted(handler: Handler): Handler {
    return (req, res) =>
      inTurn(res, () => {
        this.#answers.add(res);
        if (this.stopping.aborted) res.shouldKeepAlive = false;
        res.once('close', () => {
          this.#answers.delete(res);
          if (this.#answers.size === 0) this.#onNone?.();
        });
        return handler(req, res);
      });
  }

  /** Waits until nothing is under way, at most for `deadlineMs`; once more, to the same deadline. */
  async drain(deadlineMs: number): Promise<void> {
    // A connection that is kept would take a request just as the process ends.
    for (const res of this.#answers) res.shouldKeepAlive = false;
    this.#stopping.abort();
    this.#deadline ??= performance.now() + deadlineMs;
    if (this.#answers.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#onNone = () => resolve(undefined);
    const timer = setTimeout(resolve, this.#deadline - performance.now(), undefined);
    await promise;
    clearTimeout(timer);
  }
}

/** Aborts when the client of a long answer has gone, and where it is endless when the replica stops. */
export function endOf(res: ServerResponse, stopping: AbortSignal | undefined): AbortSignal {
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  return stopping ? AbortSignal.any([gone.signal, stopping]) : gone.signal;
}
