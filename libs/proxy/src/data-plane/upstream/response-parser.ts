import { ChunkedBody } from './chunked-body.ts';
import { ProtocolError, ResponseFields } from './response-fields.ts';
import { type Framing, type ResponseHead, readResponseHead } from './response-head.ts';

/** Who takes an answer, piece by piece. None of these may call the parser. */
export interface ResponseSink {
  /** The head; any number of informational ones (1xx) come before the final one. */
  onHead(head: ResponseHead): void;
  /**
   * A piece of the body; `last` where it is known to end with this. Its bytes are the sink's until
   * it returns, as those of the input were the parser's.
   */
  onBody(data: Buffer, last: boolean): void;
  /** All is there; trailers as name, value, … */
  onEnd(trailers: readonly string[]): void;
}

const END_OF_HEAD = '\r\n\r\n';
const MAX_HEAD = 64 * 1024;
const MAX_INFORMATIONAL = 16;
const BARE_LF = /(?<!\r)\n/g;

type Step = 'idle' | 'head' | 'length' | 'chunked' | 'trailers' | 'until-close';

/**
 * Reads the answers of one connection, one at a time. It is told of each request, and takes no
 * byte that comes unasked: such a byte belongs to nobody.
 */
export class ResponseParser {
  #step: Step = 'idle';
  #method = '';
  #sink: ResponseSink | undefined;
  /** What is there of a head or a trailer section. */
  #text = '';
  #remaining = 0;
  #informational = 0;
  #chunks = new ChunkedBody();

  /** Whether an answer is awaited or under way. */
  get busy(): boolean {
    return this.#step !== 'idle';
  }

  /** A request was sent: its answer goes to `sink`. */
  begin(method: string, sink: ResponseSink): void {
    this.#step = 'head';
    this.#method = method;
    this.#sink = sink;
    this.#text = '';
    this.#informational = 0;
  }

  /**
   * Takes what has arrived; gives the number of bytes that belong to the answer, which is less
   * than all only where the answer ended before. @throws ProtocolError
   */
  push(input: Buffer): number {
    let at = 0;
    while (at < input.length && this.#step !== 'idle') at = this.#take(input, at);
    return at;
  }

  /** The connection has ended; true where the answer was complete with that. */
  end(): boolean {
    if (this.#step !== 'until-close') return this.#step === 'idle';
    this.#finish([]);
    return true;
  }

  #take(input: Buffer, at: number): number {
    switch (this.#step) {
      case 'head':
        return this.#takeText(input, at, (text) => this.#head(text));
      case 'trailers':
        return this.#takeText(input, at, (text) => {
          // The text begins with the line end of the last chunk.
          this.#trailers(new ResponseFields(text, 2));
        });
      case 'length':
        return this.#takeLength(input, at);
      case 'chunked':
        return this.#takeChunks(input, at);
      case 'until-close':
        this.#sink?.onBody(at === 0 ? input : input.subarray(at), false);
        return input.length;
      case 'idle':
        return at;
    }
  }

  #takeText(input: Buffer, at: number, onText: (text: string) => void): number {
    const before = this.#text;
    // Where a part is there already, its end and the beginning of this may make the mark.
    const seam = before.slice(-3);
    const end =
      seam === ''
        ? input.indexOf(END_OF_HEAD, at, 'latin1')
        : at + (seam + input.toString('latin1', at)).indexOf(END_OF_HEAD) - seam.length;
    const found = seam === '' ? end !== -1 : end >= at - seam.length;
    const stop = found ? end + END_OF_HEAD.length : input.length;
    if (before.length + stop - at > MAX_HEAD) throw new ProtocolError('head too large');
    const text = before + input.toString('latin1', at, stop);
    this.#text = text;
    if (found) {
      onText(text);
      return stop;
    }
    mustNotHaveBareLf(text, before.length);
    if (this.#step === 'head') mustBeginLikeHttp(text);
    return stop;
  }

  #head(text: string): void {
    this.#text = '';
    const head = readResponseHead(text, this.#method);
    if (head.status < 200) {
      if (head.status === 101) throw new ProtocolError('switches protocols unasked');
      if (head.fields.hasClose) throw new ProtocolError('closes before the answer');
      if (++this.#informational > MAX_INFORMATIONAL) throw new ProtocolError('1xx storm');
      this.#sink?.onHead(head);
      return;
    }
    this.#sink?.onHead(head);
    this.#beginBody(head.framing, head.fields.contentLength ?? 0);
  }

  #beginBody(framing: Framing, length: number): void {
    if (framing === 'none' || (framing === 'length' && length === 0)) {
      this.#finish([]);
    } else if (framing === 'length') {
      this.#step = 'length';
      this.#remaining = length;
    } else if (framing === 'chunked') {
      this.#step = 'chunked';
      this.#chunks = new ChunkedBody();
    } else {
      this.#step = 'until-close';
    }
  }

  #takeLength(input: Buffer, at: number): number {
    const end = Math.min(input.length, at + this.#remaining);
    this.#remaining -= end - at;
    const last = this.#remaining === 0;
    this.#sink?.onBody(at === 0 && end === input.length ? input : input.subarray(at, end), last);
    if (last) this.#finish([]);
    return end;
  }

  #takeChunks(input: Buffer, at: number): number {
    const stop = this.#chunks.read(input, at, (data) => this.#sink?.onBody(data, false));
    if (this.#chunks.done) {
      this.#step = 'trailers';
      this.#text = '\r\n';
    }
    return stop;
  }

  #trailers(fields: ResponseFields): void {
    if (fields.chunked || fields.contentLength !== undefined) {
      throw new ProtocolError('framing in a trailer');
    }
    this.#finish(fields.endToEnd);
  }

  #finish(trailers: readonly string[]): void {
    const sink = this.#sink;
    this.#step = 'idle';
    this.#sink = undefined;
    sink?.onEnd(trailers);
  }
}

/** What has come of a head may show already that it is none: then nobody waits for the rest. */
function mustBeginLikeHttp(text: string): void {
  if (!text.startsWith('HTTP/1.') && !'HTTP/1.'.startsWith(text))
    throw new ProtocolError('no HTTP');
}

/** @param from how much of the text was looked at before */
function mustNotHaveBareLf(text: string, from: number): void {
  BARE_LF.lastIndex = from;
  if (BARE_LF.test(text)) throw new ProtocolError('bare LF');
}
