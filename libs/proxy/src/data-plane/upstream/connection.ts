import type { Socket } from 'node:net';
import type { SharedReadBuffer } from './shared-read-buffer.ts';
import type { ResponseHead } from './response-head.ts';
import { ResponseParser, type ResponseSink } from './response-parser.ts';

/** How long before its other side an idle connection is given up, ms. */
const IDLE_MARGIN = 1_000;

/** Why an answer will not be completed. */
export type UpstreamError =
  /** The other side closed, reset, or sent what is no HTTP. */
  | 'broken'
  /** It was silent for too long. */
  | 'silent'
  /** It was silent because the rest of the request did not come. */
  | 'starved'
  /** The generation that the connection belongs to is not the one to use any more. */
  | 'dropped';

/** Who sent a request on a connection. */
export interface ResponseListener extends ResponseSink {
  /** All that has arrived so far was handed over. */
  onArrived(): void;
  /** What was written has left: more may follow. */
  onDrain(): void;
  /** There will be no more; `answered` tells whether a byte of an answer had come. */
  onLost(error: UpstreamError, answered: boolean): void;
}

/** Who keeps the connection between requests. */
export interface ConnectionOwner {
  /** Coarse monotonic milliseconds. */
  readonly now: number;
  release(connection: Connection): void;
  onClosed(connection: Connection): void;
}

/** One connection to one port of an instance. It serves one request at a time. */
export class Connection implements ResponseSink {
  readonly port: number;
  /** Whether it has served a request before. */
  isReused = false;
  /** Last sign of life in either direction, or since when it is idle; the keeper's clock. */
  activeAt: number;
  /** How long the other side keeps it idle, ms, where it said so. */
  idleLimit = Number.POSITIVE_INFINITY;
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #parser = new ResponseParser();
  #listener: ResponseListener | undefined;
  #isOpen = true;
  #answered = false;
  #headComplete = false;
  #reusable = false;
  #requestSent = false;
  #answerComplete = false;

  /** @param socket connected; from here on it is this connection's, and its inlet */
  constructor(socket: Socket, readBuffer: SharedReadBuffer, port: number, owner: ConnectionOwner) {
    this.#socket = socket;
    this.port = port;
    this.#owner = owner;
    this.activeAt = owner.now;
    readBuffer.onChunk = (data) => {
      this.#onData(data);
      return true;
    };
    socket.on('drain', () => this.#listener?.onDrain());
    socket.on('end', () => this.#onEnd());
    socket.on('error', () => this.destroy('broken'));
    socket.on('close', () => {
      this.destroy('broken');
      owner.onClosed(this);
    });
  }

  get isUsable(): boolean {
    return this.#listener === undefined && this.#isOpen;
  }

  /** Whether a request is under way and the head of its answer is not there. */
  get awaitsAnswer(): boolean {
    return this.#listener !== undefined && !this.#headComplete;
  }

  /** Sends the head of a request: its answer goes to `requester`. */
  send(head: string, method: string, listener: ResponseListener): void {
    this.#listener = listener;
    this.#answered = false;
    this.#headComplete = false;
    this.#reusable = false;
    this.#requestSent = false;
    this.#answerComplete = false;
    this.activeAt = this.#owner.now;
    this.#parser.begin(method, this);
    this.#socket.write(head, 'latin1');
  }

  /** Sends a piece of the body as it is; false where `onDrain` is to be waited for. */
  write(data: Buffer): boolean {
    this.activeAt = this.#owner.now;
    return this.#socket.write(data);
  }

  /** Sends a piece of the body as a chunk. */
  writeChunk(data: Buffer): boolean {
    this.#socket.cork();
    this.#socket.write(`${data.length.toString(16)}\r\n`, 'latin1');
    this.write(data);
    const more = this.#socket.write('\r\n', 'latin1');
    this.#socket.uncork();
    return more;
  }

  /** Sends the end of a chunked body. @param trailers header lines */
  writeLastChunk(trailers: string): void {
    this.#socket.write(`0\r\n${trailers}\r\n`, 'latin1');
  }

  /** The request is sent in full: the connection may serve another one after the answer. */
  endRequest(): void {
    this.#requestSent = true;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.activeAt = this.#owner.now;
    this.#socket.resume();
  }

  destroy(error: UpstreamError): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#close();
    listener?.onLost(error, this.#answered);
  }

  /** Ends the connection without telling whoever sent the request. */
  abandon(): void {
    this.#listener = undefined;
    this.#close();
  }

  onHead(head: ResponseHead): void {
    this.activeAt = this.#owner.now;
    if (head.status >= 200) {
      this.#headComplete = true;
      this.#reusable = head.reusable;
      const { idleSeconds } = head.fields;
      if (idleSeconds !== undefined) this.idleLimit = idleSeconds * 1000 - IDLE_MARGIN;
    }
    this.#listener?.onHead(head);
  }

  onBody(data: Buffer, last: boolean): void {
    this.#listener?.onBody(data, last);
  }

  onEnd(trailers: readonly string[]): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#answerComplete = true;
    listener?.onEnd(trailers);
  }

  #onData(data: Buffer): void {
    // A byte that nobody asked for is the answer to nothing: what follows it cannot be trusted.
    if (!this.#parser.busy) {
      this.destroy('broken');
      return;
    }
    this.#answered = true;
    let taken: number;
    try {
      taken = this.#parser.push(data);
    } catch {
      this.destroy('broken');
      return;
    }
    if (this.#answerComplete) this.#settle(taken === data.length);
    else this.#listener?.onArrived();
  }

  #settle(isClean: boolean): void {
    this.#answerComplete = false;
    if (!isClean || !this.#reusable || !this.#requestSent || !this.#isOpen) {
      this.#close();
      return;
    }
    this.isReused = true;
    this.activeAt = this.#owner.now;
    this.#socket.resume();
    this.#owner.release(this);
  }

  #onEnd(): void {
    this.#isOpen = false;
    if (this.#parser.busy && this.#parser.end()) this.#close();
    else this.destroy('broken');
  }

  #close(): void {
    this.#isOpen = false;
    this.#socket.destroy();
  }
}
