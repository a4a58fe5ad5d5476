import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ReadyRoute } from '@ephemera/domain';
import { frameAncestors } from '../security-headers.ts';
import {
  allowedTrailers,
  dropContentLength,
  removeFraming,
  upgradeRequired,
} from './header-fields.ts';
import { MAX_TEXT_BODY_BYTES } from './limits.ts';
import { ORIGIN_KEYED, rewriteResponse } from './rewrite-response.ts';
import type { RewriteContext } from './translate-address.ts';
import type { ResponseHead } from './upstream/response-parser.ts';

/** Writes an instance's response to the client. */
export class ResponseWriter {
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  /** The head is not flushed yet: it leaves together with the first bytes of the body. */
  #isHeadPending = false;
  #isEnded = false;
  #acceptsTrailers = false;
  #hasContinued = false;
  #bytes = 0;

  constructor(req: IncomingMessage, res: ServerResponse) {
    this.#req = req;
    this.#res = res;
  }

  get hasBegun(): boolean {
    return this.#res.headersSent;
  }

  /** Bytes of the instance's body so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the client was sent `100 Continue`. */
  get hasContinued(): boolean {
    return this.#hasContinued;
  }

  /** Forwards an informational response (1xx), which HTTP/1.0 does not have. */
  inform(head: ResponseHead, context: RewriteContext): void {
    if (this.hasBegun || this.#req.httpVersion === '1.0') return;
    const fields = rewriteResponse(dropContentLength(head.fields.endToEnd), context);
    this.#res.writeInformation(head.status, fields);
  }

  /** Sends `100 Continue`. */
  sendContinue(): void {
    if (this.hasBegun || this.#hasContinued) return;
    this.#hasContinued = true;
    this.#res.writeContinue();
  }

  /**
   * Starts the final response.
   * @param closes whether the client connection closes after it
   * @param route adds fields. `embed`: the sites that may frame it; a policy of the instance itself
   * applies in addition, and browsers ignore its `X-Frame-Options` (CSP Level 3, section 6.4.2).
   * `expiresHeader`: the deadline, in place of what the instance says
   */
  begin(
    head: ResponseHead,
    context: RewriteContext,
    closes: boolean,
    { embed, expiresHeader, expiresAt }: Pick<ReadyRoute, 'embed' | 'expiresHeader' | 'expiresAt'>,
  ): void {
    const { status, reason, fields, framing } = head;
    let headers = rewriteResponse(fields.endToEnd, context);
    if (!context.sharesOrigin) headers = [...headers, ...ORIGIN_KEYED];
    if (embed) headers = [...headers, 'Content-Security-Policy', frameAncestors(embed)];
    if (expiresHeader === true) headers = withDeadline(headers, expiresAt);
    if (status === 204) headers = dropContentLength(headers);
    this.#acceptsTrailers = framing === 'chunked' && this.#req.httpVersion !== '1.0';
    if (this.#acceptsTrailers && fields.trailer !== undefined) {
      headers = [...headers, 'trailer', fields.trailer];
    }
    if (closes) this.#res.shouldKeepAlive = false;
    if (status === 426 && fields.upgrade !== undefined) {
      headers = [...headers, ...upgradeRequired(fields.upgrade, !this.#res.shouldKeepAlive)];
    }
    removeFraming(this.#res);
    this.#res.writeHead(status, reason, headers as string[]);
    this.#isHeadPending = true;
  }

  /**
   * Writes a part of the body. Returns false if the caller has to wait for `whenDrained`.
   * @param data valid until this returns; bytes that wait for the client are copied
   */
  write(data: Buffer, isLast: boolean): boolean {
    this.#bytes += data.length;
    const isWhole = isLast && this.#isHeadPending;
    this.#isHeadPending = false;
    if (!isLast) return this.#res.write(Buffer.from(data));
    this.#isEnded = true;
    // node:http joins a head and a text body into one string, and so into one write.
    if (isWhole && data.length <= MAX_TEXT_BODY_BYTES) {
      this.#res.end(data.toString('latin1'), 'latin1');
    } else {
      this.#res.end(Buffer.from(data));
    }
    return true;
  }

  /** Sends a pending head whose body has not arrived yet. */
  flush(): void {
    if (!this.#isHeadPending) return;
    this.#isHeadPending = false;
    this.#res.flushHeaders();
  }

  /** Ends the response. A client that does not accept the rest within `timeoutMs` is cut off. */
  end(trailers: readonly string[], timeoutMs: number): void {
    if (!this.#isEnded) {
      this.#isEnded = true;
      if (trailers.length > 0 && this.#acceptsTrailers) {
        this.#res.addTrailers(allowedTrailers(trailers));
      }
      this.#res.end();
    }
    if ((this.#res.socket?.writableLength ?? 0) > 0) this.#abortAfter(timeoutMs, 'finish');
  }

  /** Calls `resume` when the client has accepted all bytes, or cuts it off after `timeoutMs`. */
  whenDrained(timeoutMs: number, resume: () => void): void {
    this.#res.once('drain', resume);
    this.#abortAfter(timeoutMs, 'drain');
  }

  /**
   * Ends an incomplete response so that the client cannot take it for complete. An HTTP/1.0 client
   * would take a close for the regular end, so it gets a reset.
   */
  abort(): void {
    if (this.#req.httpVersion === '1.0') this.#req.socket.resetAndDestroy();
    else this.#req.socket.destroy();
  }

  #abortAfter(timeoutMs: number, unless: 'drain' | 'finish'): void {
    const timer = setTimeout(() => this.abort(), timeoutMs);
    const cancel = () => {
      clearTimeout(timer);
      this.#res.off(unless, cancel).off('close', cancel);
    };
    this.#res.on(unless, cancel).on('close', cancel);
  }
}

const DEADLINE = 'Ephemera-Expires-At';

/** @param expiresAt epoch ms */
function withDeadline(fields: readonly string[], expiresAt: number): readonly string[] {
  const name = DEADLINE.toLowerCase();
  const kept = fields.filter((_, i) => fields[i - (i % 2)]?.toLowerCase() !== name);
  return [...kept, DEADLINE, new Date(expiresAt).toISOString()];
}
