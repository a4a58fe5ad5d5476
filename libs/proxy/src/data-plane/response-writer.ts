import type { IncomingMessage, ServerResponse } from 'node:http';
import { KEYED_BY_ORIGIN, type RewriteContext, rewriteResponse } from './rewrite-response.ts';
import { forwardableTrailers } from './trailers.ts';
import type { ResponseHead } from './upstream/response-head.ts';
import { dropContentLength } from './drop-content-length.ts';

/** How long a body may be to be sent as text, bytes; what is longer is better not copied so often. */
const AS_TEXT = 8 * 1024;

/** Passes an instance's answer to the client. */
export class ResponseWriter {
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  #headWaits = false;
  #ended = false;
  #takesTrailers = false;
  #continued = false;

  constructor(req: IncomingMessage, res: ServerResponse) {
    this.#req = req;
    this.#res = res;
  }

  get begun(): boolean {
    return this.#res.headersSent;
  }

  /** Whether the client was let send its body. */
  get continued(): boolean {
    return this.#continued;
  }

  /** Passes an informational head (1xx), which HTTP/1.0 does not have. */
  sendInformational(head: ResponseHead, rewrite: RewriteContext): void {
    if (this.begun || this.#req.httpVersion === '1.0') return;
    const fields = rewriteResponse(dropContentLength(head.fields.endToEnd), rewrite);
    this.#res.writeInformation(head.status, fields);
  }

  /** Lets a client that waits for it send its body. */
  sendContinue(): void {
    if (this.begun) return;
    this.#continued = true;
    this.#res.writeContinue();
  }

  /** Begins the final answer. @param closes whether the connection is to end with it */
  begin(head: ResponseHead, rewrite: RewriteContext, closes: boolean): void {
    const { status, reason, fields, framing } = head;
    let headers = rewriteResponse(fields.endToEnd, rewrite);
    if (rewrite.prefix === '') headers = [...headers, ...KEYED_BY_ORIGIN];
    if (status === 204) headers = dropContentLength(headers);
    this.#takesTrailers = framing === 'chunked' && this.#req.httpVersion !== '1.0';
    if (this.#takesTrailers && fields.trailer !== undefined) {
      headers = [...headers, 'trailer', fields.trailer];
    }
    if (closes) this.#res.shouldKeepAlive = false;
    this.#res.writeHead(status, reason, headers as string[]);
    this.#headWaits = true;
  }

  /**
   * Passes a piece of the body; false where `whenDrained` is to be waited for.
   * @param data good until this returns: what has to wait for the client is a copy
   */
  write(data: Buffer, last: boolean): boolean {
    const isWhole = last && this.#headWaits;
    this.#headWaits = false;
    if (!last) return this.#res.write(Buffer.from(data));
    this.#ended = true;
    // As text, the head and the body are one string and leave in one plain write.
    if (isWhole && data.length <= AS_TEXT) this.#res.end(data.toString('latin1'), 'latin1');
    else this.#res.end(Buffer.from(data));
    return true;
  }

  /** Nothing more has arrived: a head whose body is still to come goes out now. */
  flush(): void {
    if (!this.#headWaits) return;
    this.#headWaits = false;
    this.#res.flushHeaders();
  }

  /** Ends the answer; a client that does not take what is left is cut off after `timeoutMs`. */
  end(trailers: readonly string[], timeoutMs: number): void {
    if (!this.#ended) {
      this.#ended = true;
      if (trailers.length > 0 && this.#takesTrailers) {
        this.#res.addTrailers(forwardableTrailers(trailers));
      }
      this.#res.end();
    }
    if ((this.#res.socket?.writableLength ?? 0) > 0) this.#cutAfter(timeoutMs, 'finish');
  }

  /** Calls back when the client has taken what it was sent, or cuts it off after `timeoutMs`. */
  whenDrained(timeoutMs: number, resume: () => void): void {
    this.#res.once('drain', resume);
    this.#cutAfter(timeoutMs, 'drain');
  }

  /**
   * Ends an answer that will not be complete so that the client cannot take it for complete. In
   * HTTP/1.0 a mere close would be the regular end.
   */
  abort(): void {
    if (this.#req.httpVersion === '1.0') this.#req.socket.resetAndDestroy();
    else this.#req.socket.destroy();
  }

  #cutAfter(timeoutMs: number, unless: 'drain' | 'finish'): void {
    const timer = setTimeout(() => this.abort(), timeoutMs);
    const keep = () => {
      clearTimeout(timer);
      this.#res.off(unless, keep).off('close', keep);
    };
    this.#res.on(unless, keep).on('close', keep);
  }
}
