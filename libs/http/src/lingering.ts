import { STATUS_CODES } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** How long a client may go on sending behind its response, ms. */
export interface LingerLimits {
  /** The connection is destroyed after so long without a byte. */
  readonly silence: number;
  /** The connection is destroyed after so long, whatever it sends. */
  readonly total: number;
  /** The connection is destroyed if the client accepts nothing of its response for so long. */
  readonly flush?: number;
}

const LIMITS: LingerLimits = { silence: 5_000, total: 30_000 };
const FLUSH_MS = 60_000;

/** How many times per `silence` the received bytes are looked at. */
const CHECKS = 10;

/**
 * The connections of a server that close behind a response (RFC 9112 section 9.6). A socket that is
 * closed with unread input makes the kernel send a reset, and the reset discards the response that
 * the client has not read yet. So a connection closes in this order: the response is sent, the write
 * side is shut, input is read and discarded within the limits, the socket is destroyed.
 */
export class LingeringConnections {
  readonly #limits: LingerLimits;
  readonly #sockets = new Set<Socket>();

  constructor(limits = LIMITS) {
    this.#limits = limits;
  }

  /** How many connections are closing. */
  get size(): number {
    return this.#sockets.size;
  }

  /** Whether a connection is closing. What arrives on it is no request any more. */
  has(socket: Socket): boolean {
    return this.#sockets.has(socket);
  }

  /**
   * Changes how all connections of a server close behind a response: node:http, and everything that
   * closes a connection in order, calls `destroySoon` of its socket.
   */
  attach(server: Server): void {
    server.on('connection', (socket: Socket) => {
      socket.destroySoon = () => this.#close(socket);
    });
  }

  /**
   * Reads and discards the rest of a request whose response does not wait for it, and whose
   * connection stays open. The connection is destroyed if the rest does not arrive within the limits,
   * which count from the end of the response.
   */
  discardRest(req: IncomingMessage, res: ServerResponse): void {
    req.resume();
    const start = () => {
      if (req.complete || req.socket.destroyed || this.#sockets.has(req.socket)) return;
      const stop = this.#bound(req.socket, this.#limits, () => req.socket.bytesRead);
      req.once('end', stop).once('close', stop);
    };
    if (res.writableFinished) start();
    else res.once('finish', start);
  }

  #close(socket: Socket): void {
    if (socket.destroyed || this.#sockets.has(socket)) return;
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    // The parser of node:http would take the input for requests. It gives the socket back as soon as
    // there is another listener.
    socket.removeAllListeners('data').removeAllListeners('readable');
    socket.on('data', () => undefined);
    socket.end();
    socket.resume();
    // node:http pauses the handle without the stream, which then waits for a read that has ended.
    socket._read(0);
    const bound = () => this.#bound(socket, this.#limits, () => socket.bytesRead);
    if (socket.writableFinished) {
      bound();
      return;
    }
    // The limits count from the end of the response. Until then the client must accept bytes.
    const flush = { silence: this.#limits.flush ?? FLUSH_MS, total: Infinity };
    const stop = this.#bound(socket, flush, () => socket.writableLength);
    socket.once('finish', () => {
      stop();
      bound();
    });
  }

  /**
   * Destroys a socket when its limits are reached. Returns a function that stops this.
   * @param progress changes whenever the client does something
   */
  #bound(socket: Socket, { silence, total }: LingerLimits, progress: () => number): () => void {
    let last = progress();
    let changedAt = performance.now();
    const end = changedAt + total;
    const timer = setInterval(() => {
      const now = performance.now();
      const current = progress();
      if (current !== last) {
        last = current;
        changedAt = now;
      }
      if (now >= end || now - changedAt >= silence) socket.destroy();
    }, silence / CHECKS);
    const stop = () => {
      clearInterval(timer);
      socket.off('close', stop);
    };
    socket.once('close', stop);
    return stop;
  }
}

/**
 * Makes every connection of a server close behind its last response as `LingeringConnections` does,
 * also behind the refusal of a request that node:http cannot parse.
 */
export function lingerOnClose(server: Server, limits?: LingerLimits): void {
  const lingering = new LingeringConnections(limits);
  lingering.attach(server);
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (lingering.has(socket)) return;
    // The response that node:http is sending, or will send next.
    const { _httpMessage: res } = socket as Socket & { _httpMessage?: ServerResponse };
    if (!socket.writable || !isMalformed(error.code) || res?.headersSent === true) {
      socket.destroy();
      return;
    }
    if (res) takeConnection(res, socket);
    const status = STATUS_BY_CODE[error.code ?? ''] ?? 400;
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`);
    socket.destroySoon();
  });
}

/**
 * Takes the connection from a response that has not begun, so that another response can be sent in
 * its place. Its handler sees a client that has disconnected.
 */
export function takeConnection(res: ServerResponse, socket: Socket): void {
  res.detachSocket(socket);
  res.emit('close');
}

/** Errors of the parser of node:http; all others are malformed requests. */
const STATUS_BY_CODE: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** Whether a client error is about the request, and not about the connection. */
function isMalformed(code = ''): boolean {
  return code in STATUS_BY_CODE || (code.startsWith('HPE_') && code !== 'HPE_INVALID_EOF_STATE');
}
