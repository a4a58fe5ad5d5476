/**
 * The requests in some bytes as the strictest parser reads them (RFC 9112). It stops at the first
 * part that it would not accept. It is independent of the product's parsing, so that it can check
 * that.
 */
export interface Reading {
  /** Requests with a complete and valid head. */
  readonly requests: number;
  /** Requests whose body is complete too. */
  readonly complete: number;
  /** Why parsing stopped; undefined if the bytes ended. */
  readonly fault: string | undefined;
}

/** A server may accept more than one space between the parts (RFC 9112 3). */
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) +([^\s\0-\x20\x7f]+) +HTTP\/1\.([01])$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0-\x08\x0a-\x1f\x7f]*)$/;
const CHUNK = /^([0-9A-Fa-f]{1,16})(?:;[^\0-\x08\x0a-\x1f\x7f]*)?$/;

interface Head {
  readonly fields: readonly (readonly [string, string])[];
  readonly minor: string;
  readonly method: string;
}

export function readStrictly(bytes: string): Reading {
  let rest = bytes;
  let requests = 0;
  let complete = 0;
  const stop = (fault?: string): Reading => ({ requests, complete, fault });
  for (;;) {
    // Empty lines before a request line are ignored (RFC 9112 2.2), in any form.
    rest = rest.replace(/^[\r\n]+/, '');
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return stop(rest === '' ? undefined : 'no end of the head');
    const head = readHead(rest.slice(0, end));
    if (typeof head === 'string') return stop(head);
    const framing = framingOf(head);
    if (framing === 'framing') return stop(framing);
    requests++;
    rest = rest.slice(end + 4);
    if (framing === 'chunked') {
      const after = skipChunks(rest);
      if (after === undefined) return stop('chunks');
      rest = after;
    } else {
      if (rest.length < framing) return stop('short body');
      rest = rest.slice(framing);
    }
    complete++;
    if (endsConnection(head)) return stop();
  }
}

function readHead(text: string): Head | string {
  const [first = '', ...lines] = text.split('\r\n');
  const line = REQUEST_LINE.exec(first);
  if (!line) return 'request line';
  const fields: [string, string][] = [];
  for (const item of lines) {
    const field = FIELD.exec(item);
    if (!field) return 'field';
    fields.push([(field[1] ?? '').toLowerCase(), (field[2] ?? '').replace(/[ \t]+$/, '')]);
  }
  const [, method = '', , minor = ''] = line;
  const hosts = fields.filter(([name]) => name === 'host').length;
  // HTTP/1.0 does not require the field (RFC 9112 section 3.2).
  if (hosts > 1 || (hosts === 0 && minor !== '0')) return 'host';
  return { fields, minor, method };
}

function framingOf({ fields, minor }: Head): number | 'chunked' | 'framing' {
  const lengths = fields.filter(([name]) => name === 'content-length').map(([, value]) => value);
  const codings = fields.filter(([name]) => name === 'transfer-encoding').map(([, value]) => value);
  if (codings.length > 0) {
    const isPlain = codings.length === 1 && codings[0]?.toLowerCase() === 'chunked';
    return isPlain && lengths.length === 0 && minor === '1' ? 'chunked' : 'framing';
  }
  if (lengths.length === 0) return 0;
  const [length = ''] = lengths;
  return lengths.length === 1 && /^\d{1,19}$/.test(length) ? Number(length) : 'framing';
}

/** Returns the bytes after a chunked body; undefined if it is invalid or incomplete. */
function skipChunks(bytes: string): string | undefined {
  let rest = bytes;
  for (;;) {
    const end = rest.indexOf('\r\n');
    const size = end === -1 ? undefined : CHUNK.exec(rest.slice(0, end))?.[1];
    if (size === undefined) return undefined;
    rest = rest.slice(end + 2);
    const length = parseInt(size, 16);
    if (length === 0) break;
    if (rest.slice(length, length + 2) !== '\r\n') return undefined;
    rest = rest.slice(length + 2);
  }
  for (;;) {
    const end = rest.indexOf('\r\n');
    if (end === -1) return undefined;
    if (end > 0 && !FIELD.test(rest.slice(0, end))) return undefined;
    rest = rest.slice(end + 2);
    if (end === 0) return rest;
  }
}

function endsConnection({ fields, minor }: Head): boolean {
  const options = fields
    .filter(([name]) => name === 'connection')
    .flatMap(([, value]) =>
      value
        .toLowerCase()
        .split(',')
        .map((option) => option.trim()),
    );
  if (options.includes('close')) return true;
  // An empty list of protocols offers nothing (RFC 9110 section 7.8), and llhttp reads on.
  const isOffer = ([name, value]: readonly [string, string]) => name === 'upgrade' && value !== '';
  if (options.includes('upgrade') && fields.some(isOffer)) return true;
  return minor === '0' && !options.includes('keep-alive');
}
