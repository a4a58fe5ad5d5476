import type { IncomingMessage } from 'node:http';
import type { UploadScheduler, QueuedUpload } from './upload-scheduler.ts';
import type { RequestHead } from './request-head.ts';
import { forwardableTrailers } from './trailers.ts';
import type { InboundRequest } from './inbound-request.ts';
import type { Connection } from './upstream/connection.ts';

/** Whether a request has a body to be sent on. */
export function hasBody(head: RequestHead): boolean {
  return head.chunked || (head.contentLength !== undefined && Number(head.contentLength) > 0);
}

/** Pieces of so many bytes are worth what each costs, and wait for none. */
const UNSCHEDULED_CHUNK_BYTES = 16 * 1024;

/**
 * Sends a request's body on as it comes, no faster than it is taken, in fair turns with others, and
 * framed anew: what arrived in one chunk leaves in one chunk.
 */
export class RequestBody implements QueuedUpload {
  readonly #req: IncomingMessage;
  readonly #connection: Connection;
  readonly #uploadScheduler: UploadScheduler;
  readonly #chunked: boolean;
  readonly #isReusable: boolean;
  readonly #onData = (data: Buffer) => this.#onChunk(data);
  readonly #onEnd = () => this.#onEnded();

  #awaitsClient = true;
  /** A piece that waits for its turn; the end may come behind it, and nothing else. */
  #waiting: Buffer | undefined;
  #hasEnded = false;

  constructor(
    req: IncomingMessage,
    connection: Connection,
    uploadScheduler: UploadScheduler,
    { head, method }: InboundRequest,
  ) {
    this.#req = req;
    this.#connection = connection;
    this.#uploadScheduler = uploadScheduler;
    this.#chunked = head.chunked;
    // Who does not expect a body may leave it unread, and take it for the next request.
    this.#isReusable = method !== 'GET' && method !== 'HEAD';
    req.on('data', this.#onData);
    req.on('end', this.#onEnd);
  }

  /** Whether there is more to come that the client has not sent yet. */
  get awaitsClient(): boolean {
    return this.#awaitsClient;
  }

  /** The instance takes more. */
  onDrain(): void {
    if (this.#awaitsClient) return;
    this.#awaitsClient = !this.#req.readableEnded;
    this.#req.resume();
  }

  /** What is still to come is not sent on any more, only read off the connection. */
  stop(): void {
    this.#waiting = undefined;
    this.#uploadScheduler.cancel(this);
    this.#req.off('data', this.#onData);
    this.#req.off('end', this.#onEnd);
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

  #onChunk(data: Buffer): void {
    if (data.length >= UNSCHEDULED_CHUNK_BYTES || this.#uploadScheduler.tryAcquire()) {
      this.#send(data);
      return;
    }
    this.#waiting = data;
    this.#req.pause();
    this.#uploadScheduler.enqueue(this);
  }

  #onEnded(): void {
    if (this.#waiting === undefined) this.#end();
    else this.#hasEnded = true;
  }

  #send(data: Buffer): void {
    const more = this.#chunked ? this.#connection.writeChunk(data) : this.#connection.write(data);
    if (more) return;
    this.#awaitsClient = false;
    this.#req.pause();
  }

  #end(): void {
    this.#awaitsClient = false;
    if (this.#chunked) {
      const trailers = forwardableTrailers(this.#req.rawTrailers);
      const lines = trailers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
      this.#connection.writeLastChunk(lines);
    }
    if (this.#isReusable) this.#connection.endRequest();
  }
}
