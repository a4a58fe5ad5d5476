import { createParser } from 'eventsource-parser';
import { StreamCutError, isPassing } from './errors.ts';
import { pause } from './retry.ts';
import { textOf } from './stream.ts';
import type { InstanceEvent } from './webhook.ts';

/** The pause before a stream is continued, ms, until the server sends its own. */
const RECONNECT_MS = 1_000;
const MAX_DOWN_MS = 60_000;
/** The server sends a heartbeat every 15 s. */
const SILENCE_MS = 45_000;

export interface StreamLimits {
  /** Milliseconds without a byte after which a stream counts as cut. */
  readonly silenceMs: number;
  /** How long a stream is retried while no control API answers, ms. */
  readonly maxDownMs: number;
}

/** Where a stream of events begins, and when it ends. */
export interface EventOptions {
  /** Ends the iteration with the reason of the signal. */
  readonly signal?: AbortSignal;
  /**
   * The `seq` after which to start; `0` for the oldest stored event. Default: only new events.
   */
  readonly lastEventId?: string;
  /**
   * Called where events are no longer stored. The caller must read the list of instances again.
   */
  readonly onGap?: () => void;
}

/** Opens the stream after a position. The signal ends the response too. */
export type OpenStream = (lastEventId: string, signal: AbortSignal) => Promise<Response>;

/**
 * Yields events as they arrive. Reconnects after the last one when the stream ends or is silent, for
 * up to a minute without a control API. The first connection must succeed. Ends only by an error.
 * @throws ProblemError, ConnectionError, UnexpectedResponseError; the reason of the signal
 */
export async function* followEvents(
  open: OpenStream,
  { signal, lastEventId = '', onGap }: EventOptions,
  { silenceMs, maxDownMs }: StreamLimits = { silenceMs: SILENCE_MS, maxDownMs: MAX_DOWN_MS },
): AsyncGenerator<InstanceEvent, never> {
  let last = lastEventId;
  let reconnectMs = RECONNECT_MS;
  let lostAt: number | undefined;
  for (;;) {
    signal?.throwIfAborted();
    if (lostAt !== undefined) await pause(reconnectMs, signal);
    const ending = new AbortController();
    const both = signal ? AbortSignal.any([signal, ending.signal]) : ending.signal;
    try {
      const response = await open(last, both);
      for await (const message of messagesOf(response.body, silenceMs)) {
        if (message.id !== undefined) last = message.id;
        if (message.retryMs !== undefined) reconnectMs = message.retryMs;
        if (message.event === 'gap') onGap?.();
        else if (message.data !== undefined) yield JSON.parse(message.data) as InstanceEvent;
      }
      lostAt = performance.now();
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof StreamCutError) lostAt = performance.now();
      // A replica that restarts is down for some seconds.
      else if (lostAt === undefined || !isPassing(error)) throw error;
      else if (performance.now() > lostAt + maxDownMs) throw error;
    } finally {
      ending.abort();
    }
  }
}

interface Message {
  readonly id?: string | undefined;
  readonly event?: string | undefined;
  readonly data?: string | undefined;
  readonly retryMs?: number;
}

/**
 * The parts of a stream of server-sent events, in order. An id may come without an event: the
 * position moves past events that the filters of the stream skip.
 * @throws StreamCutError if the stream breaks off or is silent for too long
 */
export async function* messagesOf(
  body: ReadableStream<Uint8Array> | null,
  silenceMs: number,
): AsyncGenerator<Message> {
  const queue: Message[] = [];
  const parser = createParser({
    onId: (id) => queue.push({ id }),
    onEvent: ({ event, data }) => queue.push({ event, data }),
    onRetry: (retryMs) => queue.push({ retryMs }),
  });
  const chunks = textOf(body);
  for (;;) {
    const { done, value } = await within(silenceMs, chunks.next());
    if (done === true) return;
    parser.feed(value);
    yield* queue.splice(0);
  }
}

/** @throws StreamCutError if the promise is pending for too long */
function within<T>(ms: number, next: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new StreamCutError('silent')), ms);
    next.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
