import type { IncomingMessage } from 'node:http';
import { allowedTrailers } from './header-fields.ts';
import { CHUNKS_PER_TICK, MAX_TICKS_TO_DRAIN, UNSCHEDULED_CHUNK_BYTES } from './limits.ts';
import type { InboundRequest } from './upstream-request.ts';
import type { Connection } from './upstream/connection.ts';

/**
 * Forwards a request body as it arrives, no faster than the instance accepts it. The framing is
 * rebuilt: each received chunk is forwarded as one chunk.
 */
export class Upload implements ScheduledUpload {
  readonly #req: IncomingMessage;
  readonly #connection: Connection;
  readonly #scheduler: UploadScheduler;
  readonly #isChunked: boolean;
  readonly #isReusable: boolean;
  readonly #onDataListener = (data: Buffer) => this.#onData(data);
  readonly #onEndListener = () => this.#onEnd();

  #awaitsClient = true;
  #hasRead = false;
  /** A chunk that waits for its slot. Only the end of the body can arrive after it. */
  #waiting: Buffer | undefined;
  #hasEnded = false;

  constructor(
    req: IncomingMessage,
    connection: Connection,
    scheduler: UploadScheduler,
    { head, method }: InboundRequest,
  ) {
    this.#req = req;
    this.#connection = connection;
    this.#scheduler = scheduler;
    this.#isChunked = head.chunked;
    // A server that expects no body may leave it unread, and parse it as the next request.
    this.#isReusable = method !== 'GET' && method !== 'HEAD';
    req.on('data', this.#onDataListener);
    req.on('end', this.#onEndListener);
    // An earlier attempt may have paused it.
    req.resume();
  }

  /** Whether a part of the body was read, so that it cannot be sent again. */
  get hasRead(): boolean {
    return this.#hasRead;
  }

  /** Whether the client has still to send a part of the body. */
  get awaitsClient(): boolean {
    return this.#awaitsClient;
  }

  /** The instance accepts more. */
  onDrain(): void {
    if (this.#awaitsClient) return;
    this.#awaitsClient = !this.#req.readableEnded;
    this.#req.resume();
  }

  /** Stops forwarding. The rest of the body is read and discarded. */
  stop(): void {
    this.#waiting = undefined;
    this.#scheduler.cancel(this);
    this.#req.off('data', this.#onDataListener);
    this.#req.off('end', this.#onEndListener);
    this.#req.resume();
  }

  onSlot(): void {
    const data = this.#waiting;
    if (data === undefined) return;
    this.#waiting = undefined;
    this.#req.resume();
    this.#send(data);
    if (this.#hasEnded) this.#end();
  }

  #onData(data: Buffer): void {
    this.#hasRead = true;
    if (data.length >= UNSCHEDULED_CHUNK_BYTES || this.#scheduler.tryAcquire()) {
      this.#send(data);
      return;
    }
    this.#waiting = data;
    this.#req.pause();
    this.#scheduler.enqueue(this);
  }

  #onEnd(): void {
    this.#hasRead = true;
    if (this.#waiting === undefined) this.#end();
    else this.#hasEnded = true;
  }

  #send(data: Buffer): void {
    const more = this.#isChunked ? this.#connection.writeChunk(data) : this.#connection.write(data);
    if (more) return;
    this.#awaitsClient = false;
    this.#req.pause();
  }

  #end(): void {
    this.#awaitsClient = false;
    if (this.#isChunked) {
      const trailers = allowedTrailers(this.#req.rawTrailers);
      const lines = trailers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
      this.#connection.writeLastChunk(lines);
    }
    if (this.#isReusable) this.#connection.endRequest();
  }
}

/** An upload that waits for a slot. */
export interface ScheduledUpload {
  onSlot(): void;
}

/**
 * Limits the chunks that are forwarded per event-loop tick, so that a burst of uploads does not delay
 * other requests.
 */
export class UploadScheduler {
  readonly #waiting = new Set<ScheduledUpload>();
  #slots = CHUNKS_PER_TICK;
  #isArmed = false;

  /** Takes a slot of this tick. If there is none, the caller has to `enqueue`. */
  tryAcquire(): boolean {
    this.#arm();
    if (this.#slots === 0) return false;
    this.#slots--;
    return true;
  }

  /** Calls `onSlot` once, after the uploads that are already waiting. */
  enqueue(upload: ScheduledUpload): void {
    this.#waiting.add(upload);
  }

  cancel(upload: ScheduledUpload): void {
    this.#waiting.delete(upload);
  }

  #arm(): void {
    if (this.#isArmed) return;
    this.#isArmed = true;
    setImmediate(this.#onTick);
  }

  readonly #onTick = (): void => {
    this.#isArmed = false;
    let due = Math.max(CHUNKS_PER_TICK, Math.ceil(this.#waiting.size / MAX_TICKS_TO_DRAIN));
    this.#slots = Math.max(0, CHUNKS_PER_TICK - this.#waiting.size);
    if (this.#waiting.size > 0) this.#arm();
    for (const upload of this.#waiting) {
      if (due-- === 0) return;
      this.#waiting.delete(upload);
      upload.onSlot();
    }
  };
}
