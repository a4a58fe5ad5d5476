/** A request as an upstream got it. */
export interface Arrived {
  readonly head: string;
  readonly body: string;
}

export interface Stream {
  readonly arrived: readonly Arrived[];
  /** The first thing that a reader could take in two ways; undefined where there is none. */
  readonly ambiguity: string | undefined;
  /** What is not a whole request yet. */
  readonly rest: string;
}

const HEAD =
  /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ \/[^\0-\x20\x7f]* HTTP\/1\.1(?:\r\n[!#$%&'*+.^`|~0-9A-Za-z-]+: ?[^\0-\x08\x0a-\x1f\x7f]*)+$/;

/**
 * Reads what the proxy sent to an upstream. What is forwarded must be understood alike by every
 * server, so the one plain form is demanded: a shorter way than this reader's is not right.
 */
export function readCanonical(bytes: string): Stream {
  const arrived: Arrived[] = [];
  let rest = bytes;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return { arrived, rest, ambiguity: undefined };
    const head = rest.slice(0, end);
    const fault = faultOf(head);
    if (fault)
      return { arrived, rest, ambiguity: `${fault}: ${JSON.stringify(head.slice(0, 300))}` };
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

function faultOf(head: string): string | undefined {
  if (!HEAD.test(head)) return 'form';
  if ((head.match(/\r\nhost:/gi) ?? []).length !== 1) return 'host';
  const lengths = head.match(/\r\ncontent-length:/gi)?.length ?? 0;
  const codings = head.match(/\r\ntransfer-encoding:/gi)?.length ?? 0;
  if (lengths + codings > 1) return 'framing';
  if (lengths === 1 && !/\r\ncontent-length: \d{1,19}(?:\r\n|$)/i.test(head)) return 'length';
  if (codings === 1 && !/\r\ntransfer-encoding: chunked(?:\r\n|$)/i.test(head)) return 'coding';
  return undefined;
}

/** How long the body is as it was sent, or that it is not all there, or not right. */
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
