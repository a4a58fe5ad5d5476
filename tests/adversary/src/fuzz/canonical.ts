/** A request as an upstream received it. */
export interface Arrived {
  readonly head: string;
  readonly body: string;
}

export interface Stream {
  readonly arrived: readonly Arrived[];
  /** The first part that a server could read in two ways; undefined if there is none. */
  readonly ambiguity: string | undefined;
  /** The bytes of an incomplete request. */
  readonly rest: string;
}

const HEAD =
  /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ \/[^\0-\x20\x7f]* HTTP\/1\.1(?:\r\n[!#$%&'*+.^`|~0-9A-Za-z-]+: ?[^\0-\x08\x0a-\x1f\x7f]*)+$/;

/**
 * Parses what the proxy sent to an upstream. Every server must understand it alike, so only the
 * canonical form is accepted.
 */
export function readCanonical(bytes: string): Stream {
  const arrived: Arrived[] = [];
  let rest = bytes;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return { arrived, rest, ambiguity: undefined };
    const head = rest.slice(0, end);
    const problem = problemOf(head);
    if (problem)
      return { arrived, rest, ambiguity: `${problem}: ${JSON.stringify(head.slice(0, 300))}` };
    const after = rest.slice(end + 4);
    const body = bodyOf(head, after);
    if (body === 'wrong') {
      return { arrived, rest, ambiguity: `chunk: ${JSON.stringify(after.slice(0, 100))}` };
    }
    if (body === 'more') return { arrived, rest, ambiguity: undefined };
    arrived.push({ head, body: after.slice(0, body) });
    rest = after.slice(body);
  }
}

function problemOf(head: string): string | undefined {
  if (!HEAD.test(head)) return 'form';
  if ((head.match(/\r\nhost:/gi) ?? []).length !== 1) return 'host';
  const lengths = head.match(/\r\ncontent-length:/gi)?.length ?? 0;
  const codings = head.match(/\r\ntransfer-encoding:/gi)?.length ?? 0;
  if (lengths + codings > 1) return 'framing';
  if (lengths === 1 && !/\r\ncontent-length: \d{1,19}(?:\r\n|$)/i.test(head)) return 'length';
  if (codings === 1 && !/\r\ntransfer-encoding: chunked(?:\r\n|$)/i.test(head)) return 'coding';
  return undefined;
}

/** Returns the length of the body as sent, or that it is incomplete or wrong. */
function bodyOf(head: string, after: string): number | 'more' | 'wrong' {
  const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
  if (length !== undefined) return after.length >= Number(length) ? Number(length) : 'more';
  if (!/\r\ntransfer-encoding: chunked/i.test(head)) return 0;
  let at = 0;
  for (;;) {
    const end = after.indexOf('\r\n', at);
    if (end === -1) return 'more';
    const size = after.slice(at, end);
    if (!/^[0-9a-f]{1,8}$/.test(size)) return 'wrong';
    at = end + 2;
    if (size === '0') break;
    at += parseInt(size, 16);
    if (after.length < at + 2) return 'more';
    if (after.slice(at, at + 2) !== '\r\n') return 'wrong';
    at += 2;
  }
  for (;;) {
    const end = after.indexOf('\r\n', at);
    if (end === -1) return 'more';
    if (end === at) return at + 2;
    at = end + 2;
  }
}
