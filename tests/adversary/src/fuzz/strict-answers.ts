/** How a client reads the bytes that came back for one request. */
export type AnswerReading =
  | { readonly kind: 'more' }
  | { readonly kind: 'wrong'; readonly reason: string }
  | {
      readonly kind: 'whole';
      readonly status: number;
      /** Bytes after its end. */
      readonly surplus: number;
      readonly closes: boolean;
    };

const INFORMATIONAL = /^HTTP\/1\.1 1(?!01)\d\d [^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n/;
/**
 * Fields that an informational response must not have: no body follows it (RFC 9110 8.6, RFC 9112
 * 6.1).
 */
const FRAMING = /\r\n(?:content-length|transfer-encoding):/i;
const HEAD =
  /^HTTP\/1\.1 ([2-5]\d\d|[6-9]\d\d) [^\0-\x08\x0a-\x1f\x7f]*(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[^\0-\x08\x0a-\x1f\x7f]*)*$/;

/** Parses one response in canonical form. @param closed whether the connection has ended */
export function readAnswer(bytes: string, method: string, closed: boolean): AnswerReading {
  let rest = bytes;
  for (let skip = INFORMATIONAL.exec(rest); skip; skip = INFORMATIONAL.exec(rest)) {
    const [head] = skip;
    if (FRAMING.test(head)) {
      return { kind: 'wrong', reason: `framed: ${JSON.stringify(head.slice(0, 300))}` };
    }
    rest = rest.slice(head.length);
  }
  const end = rest.indexOf('\r\n\r\n');
  if (end === -1) return { kind: 'more' };
  const head = rest.slice(0, end);
  const status = Number(HEAD.exec(head)?.[1]);
  if (Number.isNaN(status)) return { kind: 'wrong', reason: JSON.stringify(head.slice(0, 300)) };
  const closes = /\r\nconnection: close(?:\r\n|$)/i.test(head);
  const length = lengthOf(head, rest.slice(end + 4), method, status);
  if (typeof length === 'string') return { kind: 'wrong', reason: length };
  const have = rest.length - end - 4;
  if (length === Infinity) {
    return closed ? { kind: 'whole', status, surplus: 0, closes: true } : { kind: 'more' };
  }
  if (length === undefined || have < length) return { kind: 'more' };
  return { kind: 'whole', status, surplus: have - length, closes };
}

/** The length of the body as sent; undefined: incomplete; Infinity: until the close. */
function lengthOf(
  head: string,
  after: string,
  method: string,
  status: number,
): number | undefined | string {
  const lengths = [...head.matchAll(/\r\ncontent-length: (.*)/gi)].map(([, value = '']) => value);
  const codings = [...head.matchAll(/\r\ntransfer-encoding: (.*)/gi)].map(
    ([, value = '']) => value,
  );
  if (lengths.length + codings.length > 1) return 'framed twice';
  if (codings.length === 1 && codings[0]?.trim() !== 'chunked') return 'coding';
  if (lengths.length === 1 && !/^\d+\r?$/.test(lengths[0] ?? '')) return 'length';
  if (method === 'HEAD' || status === 204 || status === 304) return 0;
  if (lengths.length === 1) return Number(lengths[0]);
  if (codings.length === 0) return Infinity;
  let at = 0;
  for (;;) {
    const end = after.indexOf('\r\n', at);
    if (end === -1) return undefined;
    const size = after.slice(at, end);
    if (!/^[0-9a-f]+$/i.test(size)) return `chunk size ${JSON.stringify(size)}`;
    at = end + 2;
    if (parseInt(size, 16) === 0) break;
    at += parseInt(size, 16) + 2;
    if (after.length < at) return undefined;
  }
  for (;;) {
    const end = after.indexOf('\r\n', at);
    if (end === -1) return undefined;
    if (end === at) return at + 2;
    at = end + 2;
  }
}
