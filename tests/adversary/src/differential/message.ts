/** The form of a message: how the table of requests and the table of responses describe a case. */

/** Where a message is sent. The same bytes go to Ephemera and to its peers. */
export interface To {
  /** A path of the instance as the client writes it. @param path begins with a slash */
  at(path: string): string;
  /** The authority that names the instance in the host form, or any name in the path form. */
  readonly host: string;
  readonly id: string;
  /** The port of the instance, on 127.0.1.1. */
  readonly upstreamPort: number;
}

/** What a raw client does: it sends bytes (latin1), waits (ms), or reads until a match. */
export type ClientStep = string | number | RegExp;

export const END = Symbol('end');
export const RESET = Symbol('reset');
/** What an upstream does: it sends bytes (latin1), waits (ms), or ends its connection. */
export type UpstreamStep = string | number | typeof END | typeof RESET;

/** `path`: `/demo/{id}/`; `host`: `{id}.apps.test`; `trusted`: the path form from a trusted peer. */
export type Form = 'path' | 'host' | 'trusted';

/** A request as an upstream received it. */
export interface RecordedRequest {
  /** The request line and the header lines. */
  readonly head: string;
  /** Which request of its connection this is, from 1. */
  readonly nth: number;
}

export interface Message {
  readonly send: (to: To) => string | readonly ClientStep[];
  /** How many requests the bytes contain. Default: 1. */
  readonly requests?: number;
  /** Default: `path` and `host`. */
  readonly forms?: readonly Form[];
  /** Matches the bytes at the instance. The request line has the path of the instance. */
  readonly arrives?: readonly RegExp[];
  /** Matches nothing of the bytes at the instance. */
  readonly absent?: RegExp;
  /** The body at the instance, without its framing. */
  readonly body?: string;
  /** The response of the instance. Default: a complete one that names the case. */
  readonly reply?: (request: RecordedRequest, to: To) => readonly UpstreamStep[];
  /** Whether the instance responds before it has read the body. */
  readonly isEarly?: boolean;
  /** The method of the first request where it decides how the response ends. Default: GET. */
  readonly method?: 'GET' | 'HEAD';
  /** The body that the client must receive. Default: not checked. */
  readonly received?: string;
  /** Matches the bytes at the client. */
  readonly fields?: (to: To) => readonly RegExp[];
  /** Matches nothing of the bytes at the client. */
  readonly missing?: RegExp;
}

/** What Ephemera must do with the messages of a row. */
export type Required =
  /** The response of the instance reaches the client, with this status. */
  | { readonly kind: 'delivered'; readonly status: number }
  /** The proxy itself responds with one of these. `reaches`: the instance may see a part. */
  | { readonly kind: 'refused'; readonly statuses: readonly number[]; readonly reaches: boolean }
  /** The client can tell that the response is incomplete. */
  | { readonly kind: 'cut' };

/** Why Ephemera refuses what nginx and haproxy both accept. */
export interface Exception {
  readonly section: string;
  readonly reason: string;
}

/** One requirement, and the messages that it is about. */
export interface Row {
  readonly row: string;
  readonly required: Required;
  readonly exception?: Exception;
  readonly messages: Readonly<Record<string, Message>>;
}

export const delivered = (status = 200): Required => ({ kind: 'delivered', status });
export const refused = (...statuses: number[]): Required => ({
  kind: 'refused',
  statuses,
  reaches: false,
});
/** For messages whose head is forwarded before the part that is refused arrives. */
export const aborted = (...statuses: number[]): Required => ({
  kind: 'refused',
  statuses,
  reaches: true,
});
export const cut: Required = { kind: 'cut' };

export interface RequestParts {
  readonly method?: string;
  readonly path?: string;
  readonly version?: string;
  /** The Host line, without its CRLF; empty: none. */
  readonly host?: string;
  /** Header lines without their CRLF. */
  readonly lines?: readonly string[];
  readonly body?: string;
}

/** Returns the bytes of a request. */
export function request(to: To, parts: RequestParts = {}): string {
  const { method = 'GET', path = '/hi', version = '1.1', lines = [], body = '' } = parts;
  const host = parts.host ?? `Host: ${to.host}`;
  const head = [`${method} ${to.at(path)} HTTP/${version}`, host, ...lines].filter(Boolean);
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}

/** Escapes a text for a regular expression. */
export const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');

/** A message of one request. Where a path is given, the request line must arrive as it was sent. */
export function sent(parts: RequestParts = {}, more: Checks = {}): Message {
  const { method = 'GET', path } = parts;
  const arrives = [
    ...(path === undefined
      ? []
      : [new RegExp(`^${literal(`${method} ${path}`)} HTTP/1\\.1\\r\\n`)]),
    ...(more.arrives ?? []),
  ];
  return { ...more, arrives, send: (to) => request(to, parts) };
}

/** A message whose response is given as bytes, or as steps of the instance. */
export function answered(
  reply: string | readonly UpstreamStep[] | ((to: To) => string),
  more: Omit<Message, 'send' | 'reply'> & { readonly lines?: readonly string[] } = {},
): Message {
  const { lines = [], ...message } = more;
  return {
    // The form of the address changes only the fields that name an address.
    forms: ['path'],
    ...message,
    send: (to) => request(to, { method: message.method ?? 'GET', lines }),
    reply: (_arrival, to) => {
      const bytes = typeof reply === 'function' ? reply(to) : reply;
      return typeof bytes === 'string' ? [bytes] : bytes;
    },
  };
}

export const CHUNKED = 'Transfer-Encoding: chunked';
/** The body `abc` in one chunk. */
export const ABC = '3\r\nabc\r\n0\r\n\r\n';

type Checks = Omit<Message, 'send'>;
export const get = (lines: readonly string[], checks: Checks = {}): Message =>
  sent({ lines }, checks);
export const post = (lines: readonly string[], body = '', checks: Checks = {}): Message =>
  sent({ method: 'POST', lines, body }, checks);
/** A GET whose path must arrive byte for byte. */
export const target = (path: string): Message => sent({ path });

/** Splits bytes into pieces of a size, with a pause (ms) behind each. */
export function inPieces(bytes: string, size: number, pause: number): (string | number)[] {
  return bytes.match(new RegExp(`[^]{1,${size}}`, 'g'))?.flatMap((piece) => [piece, pause]) ?? [];
}

/** Builds the messages of a row from values. */
export function each<T>(values: Readonly<Record<string, T>>, make: (value: T) => Message) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, make(value)]));
}

export const WEBSOCKET = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];
