import { fieldKinds } from '../field-kinds.ts';

/** An answer that HTTP does not allow, or that two readers could understand differently. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

// One quantifier between two fixed marks each: no input makes this run longer than its length.
const FIELD = /([!#$%&'*+\-.^_`|~\dA-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r\n/y;
const LENGTH = /^\d{1,15}$/;

type Kind =
  | 'pass'
  | 'drop'
  | 'content-length'
  | 'transfer-encoding'
  | 'connection'
  | 'keep-alive'
  | 'upgrade'
  | 'trailer';

const KINDS = new Map<string, Kind>(
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

const kindOf = fieldKinds<Kind>(
  (name) => KINDS.get(name) ?? (name.startsWith('proxy-') ? 'drop' : 'pass'),
);

/** The fields of an answer: those for the client, and what the others say of the connection. */
export class ResponseFields {
  /** Name, value, name, value, … */
  endToEnd: string[] = [];
  contentLength: number | undefined = undefined;
  chunked = false;
  hasClose = false;
  hasKeepAlive = false;
  /** How long the other side keeps an idle connection, seconds. */
  idleSeconds: number | undefined = undefined;
  upgrade: string | undefined = undefined;
  trailer: string | undefined = undefined;

  /** Reads from `start` to the empty line that ends `text`. @throws ProtocolError */
  constructor(text: string, start: number) {
    let nominated: Set<string> | undefined;
    let at = start;
    while (at < text.length - 2) {
      FIELD.lastIndex = at;
      const field = FIELD.exec(text);
      if (!field) throw new ProtocolError('bad header field');
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
          mustBePlain(field[2] ?? '');
          this.#length(value);
          this.endToEnd.push(name, value);
          break;
        case 'transfer-encoding':
          mustBePlain(field[2] ?? '');
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
    if (this.chunked && this.contentLength !== undefined) throw new ProtocolError('two framings');
    if (this.trailer !== undefined && !this.chunked) throw new ProtocolError('stray trailer');
    if (nominated !== undefined) this.endToEnd = without(this.endToEnd, nominated);
  }

  #length(value: string): void {
    if (this.contentLength !== undefined) throw new ProtocolError('two lengths');
    if (!LENGTH.test(value)) throw new ProtocolError('bad length');
    this.contentLength = Number(value);
  }

  #coding(value: string): void {
    if (this.chunked || value.toLowerCase() !== 'chunked') throw new ProtocolError('bad coding');
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

/** The framing fields stay whatever Connection names: they have been acted upon. */
function without(fields: readonly string[], nominated: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const lower = name.toLowerCase();
    if (lower === 'content-length' || !nominated.has(lower)) kept.push(name, fields[i + 1] ?? '');
  }
  return kept;
}

/** Not everybody takes a tab for whitespace: where it would change the framing, there is none. */
function mustBePlain(value: string): void {
  if (value.includes('\t')) throw new ProtocolError('tab in the framing');
}

/** Without the optional whitespace around a value (RFC 9110 5.5), in time of its length. */
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
