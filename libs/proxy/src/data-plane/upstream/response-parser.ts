import { rememberKinds } from '../header-fields.ts';
import {
  MAX_CHUNK_EXTENSION_BYTES,
  MAX_CHUNK_SIZE_DIGITS,
  MAX_RESPONSE_HEAD_BYTES,
} from '../limits.ts';
import { InformationalBudget } from './informational-budget.ts';

// The HTTP/1 response parser. It is stricter than RFC 9112 requires of a recipient: a response that
// two parsers could read differently is an error. The differential test compares it with llhttp.

/** Why a response is refused. The log line of the 502 and the metric `reason` carry it. */
export type ProtocolErrorReason =
  | 'not_http'
  | 'bad_status_line'
  | 'bad_header_field'
  | 'bare_lf'
  | 'head_too_large'
  | 'trailers_too_large'
  | 'bad_content_length'
  | 'duplicate_content_length'
  | 'bad_transfer_encoding'
  | 'transfer_encoding_in_http_1_0'
  | 'content_length_with_transfer_encoding'
  | 'tab_in_framing_field'
  | 'unrequested_upgrade'
  | 'close_before_final_response'
  | 'too_many_informational'
  | 'bad_chunk_size'
  | 'bad_chunk_extension'
  | 'chunk_extension_too_large'
  | 'bad_chunk_end'
  | 'framing_field_in_trailer';

/** A response that HTTP does not allow, or that has two readings. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly reason: ProtocolErrorReason;
  /** What was found, quoted; never more than a short part of a line. */
  readonly evidence: string | undefined;
  constructor(reason: ProtocolErrorReason, evidence?: string) {
    const found = evidence === undefined ? '' : ` (${evidence})`;
    super(`invalid response: ${reason.replaceAll('_', ' ')}${found}`);
    this.reason = reason;
    this.evidence = evidence;
  }
}

/** Receives a response piece by piece. No method may call the parser. */
export interface ResponseSink {
  /** The head; any number of informational heads (1xx) come before the final one. */
  onHead(head: ResponseHead): void;
  /**
   * A piece of the body. `isLast` is true if the body is known to end with it. The bytes are valid
   * until the method returns: copy what is kept.
   */
  onBody(data: Buffer, isLast: boolean): void;
  /** The response is complete. @param trailers name, value, name, value, … */
  onEnd(trailers: readonly string[]): void;
}

/** How the end of a body is known (RFC 9112 section 6.3). */
export type Framing = 'none' | 'length' | 'chunked' | 'close';

/** A response head, checked. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly fields: ResponseFields;
  readonly framing: Framing;
  /** Whether the connection may serve another request after this response. */
  readonly isReusable: boolean;
}

const END_OF_HEAD = '\r\n\r\n';
const BARE_LF = /(?<!\r)\n/g;

type ParserStep = 'idle' | 'head' | 'length' | 'chunked' | 'trailers' | 'until-close';

/**
 * Parses the responses of one connection, one at a time. `begin` announces each request. Bytes that
 * arrive without a request are not consumed.
 */
export class ResponseParser {
  readonly #maxHeadBytes: number;
  #step: ParserStep = 'idle';
  #method = '';
  #sink: ResponseSink | undefined;
  /** The received part of a head or of a trailer section. */
  #text = '';
  #remaining = 0;
  #informational: InformationalBudget | undefined;
  #chunks = new ChunkedDecoder();

  /** @param maxHeadBytes of a head, or of a trailer section */
  constructor(maxHeadBytes = MAX_RESPONSE_HEAD_BYTES) {
    this.#maxHeadBytes = maxHeadBytes;
  }

  /** Whether a response is expected or incomplete. */
  get isBusy(): boolean {
    return this.#step !== 'idle';
  }

  /** A request was sent: its response goes to `sink`. */
  begin(method: string, sink: ResponseSink): void {
    this.#step = 'head';
    this.#method = method;
    this.#sink = sink;
    this.#text = '';
    this.#informational = undefined;
  }

  /**
   * Parses received bytes. Returns how many belong to the response: fewer than all only if the
   * response ended before them. @throws ProtocolError
   */
  push(input: Buffer): number {
    let at = 0;
    while (at < input.length && this.#step !== 'idle') at = this.#take(input, at);
    return at;
  }

  /** The connection has ended. Returns whether that completes the response. */
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
          // The text begins with the CRLF of the last chunk's line.
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
    // The empty line may lie across the previous input and this one.
    const seam = before.slice(-3);
    const end =
      seam === ''
        ? input.indexOf(END_OF_HEAD, at, 'latin1')
        : at + (seam + input.toString('latin1', at)).indexOf(END_OF_HEAD) - seam.length;
    const found = seam === '' ? end !== -1 : end >= at - seam.length;
    const stop = found ? end + END_OF_HEAD.length : input.length;
    if (before.length + stop - at > this.#maxHeadBytes)
      throw new ProtocolError(this.#step === 'head' ? 'head_too_large' : 'trailers_too_large');
    const text = before + input.toString('latin1', at, stop);
    this.#text = text;
    if (found) {
      onText(text);
      return stop;
    }
    requireNoBareLf(text, before.length);
    if (this.#step === 'head') requireHttpPrefix(text);
    return stop;
  }

  #head(text: string): void {
    this.#text = '';
    const head = parseResponseHead(text, this.#method);
    if (head.status < 200) {
      if (head.status === 101) throw new ProtocolError('unrequested_upgrade');
      if (head.fields.hasClose) throw new ProtocolError('close_before_final_response');
      this.#informational ??= new InformationalBudget();
      if (!this.#informational.take(text.length)) {
        throw new ProtocolError('too_many_informational');
      }
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
      this.#chunks = new ChunkedDecoder();
    } else {
      this.#step = 'until-close';
    }
  }

  #takeLength(input: Buffer, at: number): number {
    const end = Math.min(input.length, at + this.#remaining);
    this.#remaining -= end - at;
    const isLast = this.#remaining === 0;
    this.#sink?.onBody(at === 0 && end === input.length ? input : input.subarray(at, end), isLast);
    if (isLast) this.#finish([]);
    return end;
  }

  #takeChunks(input: Buffer, at: number): number {
    const stop = this.#chunks.read(input, at, (data) => this.#sink?.onBody(data, false));
    if (this.#chunks.isDone) {
      this.#step = 'trailers';
      this.#text = '\r\n';
    }
    return stop;
  }

  #trailers(fields: ResponseFields): void {
    if (fields.chunked || fields.contentLength !== undefined) {
      throw new ProtocolError('framing_field_in_trailer');
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

/** Refuses early, so that the client does not wait for the rest of an invalid head. */
function requireHttpPrefix(text: string): void {
  if (!text.startsWith('HTTP/1.') && !'HTTP/1.'.startsWith(text)) {
    throw new ProtocolError('not_http', `it begins with ${quote(text.slice(0, 16))}`);
  }
}

/** @param from how much of the text was checked before */
function requireNoBareLf(text: string, from: number): void {
  BARE_LF.lastIndex = from;
  if (BARE_LF.test(text)) throw new ProtocolError('bare_lf');
}

const STATUS_LINE = /HTTP\/1\.([01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n/y;

/**
 * Parses a response head: the status line, the fields and the empty line. No bare LF, no folding, no
 * space before a colon, one value of Content-Length and never together with Transfer-Encoding, which
 * must be exactly `chunked`.
 *
 * @param text latin1, ends in CRLF CRLF
 * @param method of the request: it decides whether there is a body
 * @throws ProtocolError
 */
function parseResponseHead(text: string, method: string): ResponseHead {
  STATUS_LINE.lastIndex = 0;
  const line = STATUS_LINE.exec(text);
  if (!line) {
    throw new ProtocolError('bad_status_line', quote(text.slice(0, text.indexOf('\r\n'))));
  }
  const isHttp11 = line[1] === '1';
  const status = Number(line[2]);
  const fields = new ResponseFields(text, line[0].length);
  if (fields.chunked && !isHttp11) throw new ProtocolError('transfer_encoding_in_http_1_0');
  const framing = framingOf(status, method, fields);
  const isReusable = mayReuse(framing, fields, isHttp11);
  return { status, reason: line[3] ?? '', fields, framing, isReusable };
}

function framingOf(status: number, method: string, fields: ResponseFields): Framing {
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return 'none';
  if (fields.chunked) return 'chunked';
  return fields.contentLength === undefined ? 'close' : 'length';
}

/**
 * Whether the connection may be reused. A response without a body may still announce one, and send
 * it: that body would be parsed as the response to the next request.
 */
function mayReuse(framing: Framing, fields: ResponseFields, isHttp11: boolean): boolean {
  if (framing === 'close') return false;
  if (framing === 'none' && (fields.chunked || (fields.contentLength ?? 0) > 0)) return false;
  return isHttp11 ? !fields.hasClose : fields.hasKeepAlive && !fields.hasClose;
}

// One quantifier between fixed delimiters each, so matching takes linear time.
const FIELD = /([!#$%&'*+\-.^_`|~\dA-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r\n/y;
const CONTENT_LENGTH = /^\d{1,15}$/;

type FieldKind =
  | 'pass'
  | 'drop'
  | 'content-length'
  | 'transfer-encoding'
  | 'connection'
  | 'keep-alive'
  | 'upgrade'
  | 'trailer';

const FIELD_KINDS = new Map<string, FieldKind>(
  (
    [
      'content-length',
      'transfer-encoding',
      'connection',
      'keep-alive',
      'upgrade',
      'trailer',
    ] as const
  ).map((name) => [name, name]),
);

const kindOf = rememberKinds<FieldKind>(
  (name) => FIELD_KINDS.get(name) ?? (name.startsWith('proxy-') ? 'drop' : 'pass'),
);

/** The fields of a response: end-to-end fields, and the fields that describe the connection. */
export class ResponseFields {
  /** Name, value, name, value, … */
  endToEnd: string[] = [];
  contentLength: number | undefined = undefined;
  chunked = false;
  hasClose = false;
  hasKeepAlive = false;
  /** How long the instance keeps an idle connection (Keep-Alive: timeout), seconds. */
  idleSeconds: number | undefined = undefined;
  upgrade: string | undefined = undefined;
  /** Announces the trailers of a chunked body. Without chunks the field has no effect. */
  trailer: string | undefined = undefined;

  #lengthDigits: string | undefined = undefined;

  /** Parses from `start` to the empty line that ends `text`. @throws ProtocolError */
  constructor(text: string, start: number) {
    let nominated: Set<string> | undefined;
    let at = start;
    while (at < text.length - 2) {
      FIELD.lastIndex = at;
      const field = FIELD.exec(text);
      if (!field) throw new ProtocolError('bad_header_field', describeBadField(text, at));
      at = FIELD.lastIndex;
      const name = field[1] ?? '';
      const value = trim(field[2] ?? '');
      switch (kindOf(name)) {
        case 'pass':
          this.endToEnd.push(name, value);
          break;
        case 'drop':
          break;
        case 'content-length':
          requireNoTab(field[2] ?? '');
          if (this.#length(value)) this.endToEnd.push(name, value);
          break;
        case 'transfer-encoding':
          requireNoTab(field[2] ?? '');
          this.#coding(value);
          break;
        case 'connection':
          nominated = this.#connection(value, nominated);
          break;
        case 'keep-alive':
          this.idleSeconds = Number(/\btimeout=(\d{1,9})\b/i.exec(value)?.[1] ?? NaN);
          break;
        case 'upgrade':
          this.upgrade = value;
          break;
        case 'trailer':
          this.trailer = value;
          break;
      }
    }
    if (this.chunked && this.contentLength !== undefined)
      throw new ProtocolError('content_length_with_transfer_encoding');
    if (nominated !== undefined) this.endToEnd = dropNominated(this.endToEnd, nominated);
  }

  /**
   * Takes a Content-Length. A repetition of the same digits has one reading only, and is dropped
   * (RFC 9110 section 8.6). Returns whether the field is the first one.
   */
  #length(value: string): boolean {
    if (!CONTENT_LENGTH.test(value)) throw new ProtocolError('bad_content_length', quote(value));
    if (this.#lengthDigits === value) return false;
    if (this.#lengthDigits !== undefined) {
      const both = `${this.#lengthDigits} and ${quote(value)}`;
      throw new ProtocolError('duplicate_content_length', both);
    }
    this.#lengthDigits = value;
    this.contentLength = Number(value);
    return true;
  }

  #coding(value: string): void {
    if (this.chunked || value.toLowerCase() !== 'chunked')
      throw new ProtocolError('bad_transfer_encoding', quote(value));
    this.chunked = true;
  }

  #connection(value: string, nominated: Set<string> | undefined): Set<string> | undefined {
    for (const part of value.toLowerCase().split(',')) {
      const option = part.trim();
      if (option === 'close') this.hasClose = true;
      else if (option === 'keep-alive') this.hasKeepAlive = true;
      else if (option !== 'upgrade') nominated = (nominated ?? new Set()).add(option);
    }
    return nominated;
  }
}

/** Says what is wrong with the field line at `at`, without its value, which may be a secret. */
function describeBadField(text: string, at: number): string {
  const end = text.indexOf('\r\n', at);
  const line = text.slice(at, end === -1 ? text.length : end);
  if (/^[ \t]/.test(line)) return 'a line begins with white space';
  const colon = line.indexOf(':');
  if (colon === -1) return 'a line has no colon';
  const name = line.slice(0, colon);
  if (name === '') return 'a line has no name';
  if (!/^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/.test(name)) return `the name is ${quote(name)}`;
  const invalid = /[^\t\x20-\x7e\x80-\xff]/.exec(line.slice(colon));
  return `${quote(name)} contains ${byteText(invalid?.[0].charCodeAt(0) ?? 0)}`;
}

function byteText(byte: number): string {
  return `the byte 0x${byte.toString(16).padStart(2, '0')}`;
}

/** Content-Length stays even if Connection nominates it: the parser has acted on it. */
function dropNominated(fields: readonly string[], nominated: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const lower = name.toLowerCase();
    if (lower === 'content-length' || !nominated.has(lower)) kept.push(name, fields[i + 1] ?? '');
  }
  return kept;
}

/** Parsers disagree whether a tab is whitespace, so a framing field must not contain one. */
function requireNoTab(value: string): void {
  if (value.includes('\t')) throw new ProtocolError('tab_in_framing_field');
}

/** A value without the optional whitespace around it (RFC 9110 section 5.5), in linear time. */
function trim(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isBlank(value.charCodeAt(start))) start++;
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--;
  return value.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

const CR = 0x0d;
const LF = 0x0a;
/** Chunk extensions (RFC 9112 section 7.1.1), without optional whitespace. */
const EXTENSION =
  /^(?:;[!#$%&'*+\-.^_`|~\dA-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~\dA-Za-z]+|"(?:[^"\\]|\\[^])*"))?)*$/;

type ChunkStep = 'size' | 'extension' | 'size-lf' | 'data' | 'data-cr' | 'data-lf' | 'done';

/**
 * Decodes a chunked body (RFC 9112 section 7.1) up to the line of the last chunk; the caller parses
 * the trailer section. A chunk size is hex digits only, before `;` or CRLF.
 */
class ChunkedDecoder {
  #step: ChunkStep = 'size';
  #size = 0;
  #digits = 0;
  #extension = '';

  get isDone(): boolean {
    return this.#step === 'done';
  }

  /**
   * Decodes `input` from `at`. Returns the position behind the last chunk's line, or the end of the
   * input. @throws ProtocolError
   */
  read(input: Buffer, at: number, onData: (data: Buffer) => void): number {
    while (at < input.length && this.#step !== 'done') {
      if (this.#step === 'data') {
        const end = Math.min(input.length, at + this.#size);
        this.#size -= end - at;
        if (this.#size === 0) this.#step = 'data-cr';
        onData(input.subarray(at, end));
        at = end;
      } else {
        this.#take(input[at++] ?? 0);
      }
    }
    return at;
  }

  #take(byte: number): void {
    switch (this.#step) {
      case 'size':
        if (byte === CR && this.#digits > 0) this.#step = 'size-lf';
        else if (byte === 0x3b && this.#digits > 0) this.#extend(byte);
        else this.#digit(byte);
        break;
      case 'extension':
        if (byte === CR) this.#endExtension();
        else this.#extend(byte);
        break;
      case 'size-lf':
        requireByte(byte, LF);
        this.#step = this.#size === 0 ? 'done' : 'data';
        this.#digits = 0;
        break;
      case 'data-cr':
        requireByte(byte, CR);
        this.#step = 'data-lf';
        break;
      case 'data-lf':
        requireByte(byte, LF);
        this.#step = 'size';
        break;
      case 'data':
      case 'done':
        break;
    }
  }

  #extend(byte: number): void {
    this.#step = 'extension';
    this.#extension += String.fromCharCode(byte);
    if (!isText(byte)) throw new ProtocolError('bad_chunk_extension', byteText(byte));
    if (this.#extension.length > MAX_CHUNK_EXTENSION_BYTES) {
      throw new ProtocolError('chunk_extension_too_large');
    }
  }

  #endExtension(): void {
    if (!EXTENSION.test(this.#extension)) {
      throw new ProtocolError('bad_chunk_extension', quote(this.#extension));
    }
    this.#extension = '';
    this.#step = 'size-lf';
  }

  #digit(byte: number): void {
    const value = hexValue(byte);
    if (value === -1 || ++this.#digits > MAX_CHUNK_SIZE_DIGITS)
      throw new ProtocolError('bad_chunk_size', byteText(byte));
    this.#size = this.#size * 16 + value;
  }
}

function requireByte(byte: number, expected: number): void {
  if (byte !== expected) {
    throw new ProtocolError('bad_chunk_end', `${byteText(byte)} in place of ${byteText(expected)}`);
  }
}

function isText(byte: number): boolean {
  return byte === 0x09 || (byte >= 0x20 && byte !== 0x7f);
}

function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** Longest quoted part of a response, characters. */
const MAX_EVIDENCE = 80;

/**
 * Quotes bytes of an instance for people: printable ASCII only, since the text may reach a terminal,
 * and of bounded length. @param text latin1
 */
export function quote(text: string): string {
  const cut = text.length > MAX_EVIDENCE ? `${text.slice(0, MAX_EVIDENCE)}...` : text;
  return JSON.stringify(cut).replaceAll(
    /[\x7f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
