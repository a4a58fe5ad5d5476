import { ProtocolError, ResponseFields } from './response-fields.ts';

/** How the end of a body is known (RFC 9112 6.3). */
export type Framing = 'none' | 'length' | 'chunked' | 'close';

/** The head of an answer, taken apart and checked. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly fields: ResponseFields;
  readonly framing: Framing;
  /** Whether the connection may serve another request after this. */
  readonly reusable: boolean;
}

const STATUS_LINE = /HTTP\/1\.([01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n/y;

/**
 * Reads the head of an answer: the status line, the fields and the empty line. Stricter than
 * RFC 9112 asks of a recipient: no bare LF, no folding, no space before a colon, one
 * Content-Length at most and never beside a Transfer-Encoding, which must be `chunked` alone.
 *
 * @param text latin1, ends in CRLF CRLF
 * @param method of the request, on which the body depends
 * @throws ProtocolError
 */
export function readResponseHead(text: string, method: string): ResponseHead {
  STATUS_LINE.lastIndex = 0;
  const line = STATUS_LINE.exec(text);
  if (!line) throw new ProtocolError('bad status line');
  const isHttp11 = line[1] === '1';
  const status = Number(line[2]);
  const fields = new ResponseFields(text, line[0].length);
  if (fields.chunked && !isHttp11) throw new ProtocolError('transfer coding in HTTP/1.0');
  const framing = framingOf(status, method, fields);
  const reusable = isReusable(framing, fields, isHttp11);
  return { status, reason: line[3] ?? '', fields, framing, reusable };
}

function framingOf(status: number, method: string, fields: ResponseFields): Framing {
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return 'none';
  if (fields.chunked) return 'chunked';
  return fields.contentLength === undefined ? 'close' : 'length';
}

/**
 * An answer that may have no body and yet announces one may be followed by it, and that would be
 * taken for the answer to the next request: its connection is not used again.
 */
function isReusable(framing: Framing, fields: ResponseFields, isHttp11: boolean): boolean {
  if (framing === 'close') return false;
  if (framing === 'none' && (fields.chunked || (fields.contentLength ?? 0) > 0)) return false;
  return isHttp11 ? !fields.hasClose : fields.hasKeepAlive && !fields.hasClose;
}
