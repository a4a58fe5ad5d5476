import type { OnReadOpts, Socket } from 'node:net';
import { IDLE_MARGIN_MS, READ_BUFFER_BYTES } from '../limits.ts';
import {
  ProtocolError,
  type ProtocolErrorReason,
  type ResponseHead,
  ResponseParser,
  type ResponseSink,
} from './response-parser.ts';

/**
 * Why a request failed upstream: a field of the log line, and a label of the metric.
 * `explain-failure.ts` has a sentence for each.
 */
export type UpstreamErrorReason =
  | ProtocolErrorReason
  /** llhttp refused the response to an upgrade; `cause` has the reason. */
  | 'invalid_response'
  /** The connection was refused or reset while it opened. */
  | 'connect_failed'
  /** The connection did not open in time. */
  | 'connect_timeout'
  /** The instance sent bytes before it got a request. */
  | 'data_before_request'
  /** The instance closed the connection before it got a request. */
  | 'closed_before_request'
  /** The instance closed the connection without a response. */
  | 'connection_closed'
  /** The instance closed the connection within the head of the response. */
  | 'closed_in_head'
  /** The instance closed the connection before the end of the body. */
  | 'closed_in_body'
  /** The connection failed before the response was complete, for example by a reset. */
  | 'connection_error'
  /** No response began within `EPHEMERA_RESPONSE_TIMEOUT`. */
  | 'response_timeout'
  /** The 101 response of a WebSocket handshake did not match the key of the client. */
  | 'handshake_rejected'
  /** The 101 response of a WebSocket handshake did not switch to WebSocket. */
  | 'wrong_upgrade'
  /** The route had changed when the connection opened. */
  | 'route_superseded'
  /** The generation of the connection ended. */
  | 'route_dropped'
  /** Redis could not confirm the route. */
  | 'store_unavailable'
  /** The host of the route has not registered the address. */
  | 'host_unregistered'
  /** An error in the proxy itself. */
  | 'internal';

/** Decides what happens to the request; `reason` only informs. */
export type UpstreamErrorKind =
  /** No connection could be opened. */
  | 'unreachable'
  /** A connection opened, but the route that led to it is not current. */
  | 'superseded'
  /** The store could not confirm the route, so nothing may be sent. */
  | 'unconfirmed'
  /** The host of the route has not registered the address, so it may be of another host. */
  | 'unregistered'
  /** The instance closed the connection, reset it, or sent an invalid response. */
  | 'broken'
  /** The instance sent nothing for too long. */
  | 'silent'
  /** The generation of the connection ended. */
  | 'dropped'
  /** The proxy itself failed: a bug. */
  | 'internal';

/** Why there is no response, or no complete one. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly kind: UpstreamErrorKind;
  readonly reason: UpstreamErrorReason;
  constructor(kind: UpstreamErrorKind, reason: UpstreamErrorReason, cause?: unknown) {
    super(reason.replaceAll('_', ' '), cause === undefined ? undefined : { cause });
    this.kind = kind;
    this.reason = reason;
  }
}

/** The host of a route has not registered a network with its address: nothing is sent there. */
export class UnregisteredHostError extends UpstreamError {
  readonly host: string;
  readonly address: string;
  constructor(host: string, address: string) {
    super('unregistered', 'host_unregistered');
    this.host = host;
    this.address = address;
  }
}

/**
 * The one buffer that all upstream sockets are read into. The next read of any socket overwrites it,
 * so the bytes are valid only until `onChunk` returns.
 */
const READ_BUFFER = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);

/**
 * Reads one socket into the shared buffer: a read allocates nothing and skips the buffers and events
 * of node:stream. `end`, `error`, `close`, `pause` and `resume` work as usual.
 */
export class SharedReadBuffer {
  /** Bytes arrived while `onChunk` was not set, and were discarded. */
  receivedBeforeRequest = false;
  /**
   * Receives each chunk. Copy what is kept: the bytes are valid until it returns. Returning false
   * stops reading until the socket is resumed.
   */
  onChunk: ((data: Buffer) => boolean) | undefined;
  /** The option `onread` of `net.connect`. */
  readonly onread: OnReadOpts = {
    buffer: READ_BUFFER,
    callback: (length) => {
      if (this.onChunk) return this.onChunk(READ_BUFFER.subarray(0, length));
      this.receivedBeforeRequest = true;
      return true;
    },
  };
}

/** Receives the response to a request that was sent on a connection. */
export interface ResponseListener extends ResponseSink {
  /** All bytes that have arrived so far were passed on. */
  onChunkEnd(): void;
  /** The socket accepts more of the request. */
  onDrain(): void;
  /** Called once at most, and not after `onEnd`. @param hasResponse whether a byte had arrived */
  onError(error: UpstreamError, hasResponse: boolean): void;
}

/** Keeps the connection between requests. */
export interface ConnectionOwner {
  /** Coarse monotonic milliseconds. */
  readonly now: number;
  /** Bytes of a response head, or of a trailer section. */
  readonly maxResponseHead: number;
  release(connection: Connection): void;
  onClosed(connection: Connection): void;
}

/** One connection to one port of an instance. It serves one request at a time. */
export class Connection implements ResponseSink {
  readonly port: number;
  /** Whether it has served a request before. */
  isReused = false;
  /** Time of the last activity, or since when it is idle; the owner's clock. */
  activeAt: number;
  /**
   * How long the instance keeps an idle connection, ms; infinite without a `Keep-Alive` timeout.
   */
  idleLimit = Number.POSITIVE_INFINITY;
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #parser: ResponseParser;
  #listener: ResponseListener | undefined;
  #isOpen = true;
  /** Why the request cannot be sent on: the instance has closed or reset the connection. */
  #writeError: NodeJS.ErrnoException | undefined;
  #hasResponse = false;
  #isHeadComplete = false;
  #isReusable = false;
  #isRequestSent = false;
  #isResponseComplete = false;

  /** @param socket connected; this object owns it and `buffer` from here on */
  constructor(socket: Socket, buffer: SharedReadBuffer, port: number, owner: ConnectionOwner) {
    this.#socket = socket;
    this.port = port;
    this.#owner = owner;
    this.#parser = new ResponseParser(owner.maxResponseHead);
    this.activeAt = owner.now;
    buffer.onChunk = (data) => {
      this.#onChunk(data);
      return true;
    };
    readBehindWriteErrors(socket, (error) => this.#onWriteError(error));
    socket.on('drain', () => this.#listener?.onDrain());
    socket.on('end', () => this.#onEnd());
    socket.on('error', (error) => this.destroy('broken', 'connection_error', error));
    socket.on('close', () => {
      this.destroy('broken', this.#reasonOfClose());
      owner.onClosed(this);
    });
  }

  get isUsable(): boolean {
    return this.#listener === undefined && this.#isOpen;
  }

  /** Whether a request was sent and the head of its response is not complete. */
  get awaitsResponse(): boolean {
    return this.#listener !== undefined && !this.#isHeadComplete;
  }

  /** Sends the head of a request: its response goes to `listener`. */
  send(head: string, method: string, listener: ResponseListener): void {
    this.#listener = listener;
    this.#hasResponse = false;
    this.#isHeadComplete = false;
    this.#isReusable = false;
    this.#isRequestSent = false;
    this.#isResponseComplete = false;
    this.activeAt = this.#owner.now;
    this.#parser.begin(method, this);
    this.#socket.write(head, 'latin1');
  }

  /** Sends a part of the body unchanged. Returns false if the caller has to wait for `onDrain`. */
  write(data: Buffer): boolean {
    this.activeAt = this.#owner.now;
    return this.#socket.write(data);
  }

  /**
   * Sends a part of the body as one chunk. Returns false if the caller has to wait for `onDrain`.
   */
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

  /** The request was sent in full: the connection may serve another one after the response. */
  endRequest(): void {
    this.#isRequestSent = true;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.activeAt = this.#owner.now;
    this.#socket.resume();
  }

  /** Closes the connection and reports the error to the listener, if there is one. */
  destroy(kind: UpstreamErrorKind, reason: UpstreamErrorReason, cause?: unknown): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#close();
    listener?.onError(new UpstreamError(kind, reason, cause), this.#hasResponse);
  }

  /** Closes the connection without a report. */
  abandon(): void {
    this.#listener = undefined;
    this.#close();
  }

  onHead(head: ResponseHead): void {
    this.activeAt = this.#owner.now;
    if (head.status >= 200) {
      this.#isHeadComplete = true;
      this.#isReusable = head.isReusable;
      const { idleSeconds } = head.fields;
      if (idleSeconds !== undefined) this.idleLimit = idleSeconds * 1000 - IDLE_MARGIN_MS;
    }
    this.#listener?.onHead(head);
  }

  onBody(data: Buffer, isLast: boolean): void {
    this.#listener?.onBody(data, isLast);
  }

  onEnd(trailers: readonly string[]): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#isResponseComplete = true;
    listener?.onEnd(trailers);
  }

  #onChunk(data: Buffer): void {
    // No request is in flight, so the bytes belong to no response. The connection cannot be
    // trusted.
    if (!this.#parser.isBusy) {
      this.destroy('broken', 'data_before_request');
      return;
    }
    this.#hasResponse = true;
    const listener = this.#listener;
    try {
      const taken = this.#parser.push(data);
      if (this.#isResponseComplete) this.#settle(taken === data.length);
      else this.#listener?.onChunkEnd();
    } catch (error) {
      this.#onThrown(error, listener);
    }
  }

  /** A response may have arrived before the reset: what can be read decides. */
  #onWriteError(error: NodeJS.ErrnoException): void {
    this.#isOpen = false;
    this.#writeError = error;
  }

  #onEnd(): void {
    this.#isOpen = false;
    const listener = this.#listener;
    const error = this.#writeError;
    // After a reset the end is not the instance's own. For a write after the instance has ended its
    // side, the error is EPIPE.
    const isOrderly = error === undefined || error.code === 'EPIPE';
    try {
      if (isOrderly && this.#parser.isBusy && this.#parser.end()) this.#close();
      else if (error) this.destroy('broken', 'connection_error', error);
      else this.destroy('broken', this.#reasonOfClose());
    } catch (error) {
      this.#onThrown(error, listener);
    }
  }

  #reasonOfClose(): UpstreamErrorReason {
    if (this.#isHeadComplete) return 'closed_in_body';
    return this.#hasResponse ? 'closed_in_head' : 'connection_closed';
  }

  /** A ProtocolError is caused by the instance. Any other error is a bug of a listener. */
  #onThrown(error: unknown, listener: ResponseListener | undefined): void {
    if (error instanceof ProtocolError) {
      this.destroy('broken', error.reason, error);
      return;
    }
    // `onEnd` clears the listener before it calls it, and the bug may be in there.
    this.#listener = listener;
    this.destroy('internal', 'internal', error);
  }

  /**
   * The response is complete.
   * @param isExact whether no bytes were received after it
   */
  #settle(isExact: boolean): void {
    this.#isResponseComplete = false;
    if (!isExact || !this.#isReusable || !this.#isRequestSent || !this.#isOpen) {
      this.#close();
      return;
    }
    this.isReused = true;
    this.activeAt = this.#owner.now;
    this.#socket.resume();
    this.#owner.release(this);
  }

  #close(): void {
    this.#isOpen = false;
    this.#socket.destroy();
  }
}

/**
 * Reports a failed write to `onError`, and not as an error of the socket, which would destroy it
 * together with the bytes that have arrived: an instance that responds before it has read the
 * request, and closes, resets the connection. The kernel ends the read side behind those bytes.
 */
function readBehindWriteErrors(
  socket: Socket,
  onError: (error: NodeJS.ErrnoException) => void,
): void {
  type Done = (error?: Error | null) => void;
  const orReport =
    (done: Done): Done =>
    (error) => {
      if (error && isDisconnect(error)) onError(error);
      else done(error);
    };
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  socket._write = (chunk, encoding, done) => {
    write(chunk, encoding, orReport(done));
  };
  socket._writev = (chunks, done) => writev?.(chunks, orReport(done));
}

function isDisconnect({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE';
}
