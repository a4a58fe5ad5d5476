import type { IncomingMessage } from 'node:http';
import { isAuthority } from '@ephemera/http';
import { ACCESS_HEADER } from '../access/access-token.ts';
import { collect, type ForwardedHeaders, NOTHING_FORWARDED } from './client-connection.ts';
import { type Refusal, REFUSALS } from './early-response.ts';
import {
  dropNominated,
  dropReservedCookies,
  isIdentityField,
  rememberKinds,
} from './header-fields.ts';
import { MAX_LENGTH_DIGITS } from './limits.ts';

/** A request head that has passed every check. */
export interface RequestHead {
  readonly kind: 'head';
  /** The value of the one Host field, as sent but without an empty port; empty if HTTP/1.0 has none. */
  readonly host: string;
  /** The end-to-end header lines, as sent, without Host. */
  readonly lines: string;
  /** Digits of Content-Length; undefined if the request has none or is chunked. */
  readonly contentLength: string | undefined;
  readonly chunked: boolean;
  /** Whether the client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
  /** Whether a browser asks for the script of a service worker (Service Workers 4.2.9). */
  readonly isServiceWorker: boolean;
  /** Whether a field may name a resource by the visitor's address (WebDAV). */
  readonly hasReference: boolean;
  /** What a trusted peer says about the client; undefined if the peer is not trusted. */
  readonly forwarded: Readonly<ForwardedHeaders> | undefined;
}

/** Whether a request has a body to forward. */
export function hasBody(head: RequestHead): boolean {
  return head.chunked || (head.contentLength !== undefined && Number(head.contentLength) > 0);
}

/** A head while it is read: the fields that the checks need, and that do not leave this file. */
interface DraftHead extends Writable<RequestHead> {
  hasHost: boolean;
  /** Values of Transfer-Encoding, joined. */
  coding: string | undefined;
  /** Values of Expect, joined. */
  expect: string | undefined;
}
type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Parses a request head and refuses what two servers could understand differently (RFC 9112 section
 * 11.2). llhttp, the parser of node:http, has already refused malformed messages.
 *
 * The checks run in this order; the first refusal is the answer.
 *
 * @param isTrusted whether the forwarded headers of the peer are accepted
 * @param maxFields header lines; 431 beyond it
 */
export function readRequestHead(
  req: IncomingMessage,
  isTrusted: boolean,
  maxFields: number,
): RequestHead | Refusal {
  const isHttp10 = req.httpVersion === '1.0';
  const head: DraftHead = {
    kind: 'head',
    host: '',
    lines: '',
    contentLength: undefined,
    chunked: false,
    expectsContinue: false,
    isServiceWorker: false,
    hasReference: false,
    forwarded: isTrusted ? NOTHING_FORWARDED : undefined,
    hasHost: false,
    coding: undefined,
    expect: undefined,
  };
  return (
    checkRequestLine(req, maxFields) ??
    readFields(req.rawHeaders, head) ??
    checkHost(head, isHttp10) ??
    checkFraming(head, isHttp10) ??
    checkExpectation(head, isHttp10) ??
    head
  );
}

/**
 * What the path of a request target must not contain: a fragment, a backslash (which some servers
 * treat as a slash), and dot segments, plain or percent-encoded. The query belongs to the instance.
 */
const FORBIDDEN_IN_PATH = /^[^?]*?(?:[#\\]|\/(?:\.|%2e){1,2}(?:[/?]|$))/i;

/** Whether a target is in origin form (RFC 9112 section 3.2.1) and has one reading only. */
export function isPlainTarget(target: string): boolean {
  return target.charCodeAt(0) === 0x2f && !FORBIDDEN_IN_PATH.test(target);
}

function checkRequestLine(
  { rawHeaders, httpVersion, method, url }: IncomingMessage,
  maxFields: number,
): Refusal | undefined {
  if (rawHeaders.length > maxFields * 2) return REFUSALS.headers;
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return REFUSALS.version;
  if (method === 'TRACE' || method === 'CONNECT') return REFUSALS.method;
  return isPlainTarget(url ?? '') ? undefined : REFUSALS.target;
}

/** What happens to a request field. */
type FieldKind =
  /** End-to-end: forwarded unchanged. */
  | 'pass'
  /** Not forwarded: it concerns this connection only, or imitates a field that matters. */
  | 'drop'
  /** Describes the client: accepted from a trusted peer, else dropped. */
  | 'forwarded'
  /** Forwarded without the product's own cookies. */
  | 'cookie'
  /** Forwarded; a browser asks for the script of a service worker. */
  | 'service-worker'
  /** Forwarded; it may name a resource by the visitor's address. */
  | 'reference'
  /** Parsed here and written again for the upstream connection. */
  | 'host'
  | 'connection'
  | 'content-length'
  | 'transfer-encoding'
  | 'expect';

const FIELD_KINDS = new Map<string, FieldKind>([
  ['host', 'host'],
  ['cookie', 'cookie'],
  ['service-worker', 'service-worker'],
  ['destination', 'reference'],
  ['if', 'reference'],
  ['connection', 'connection'],
  ['content-length', 'content-length'],
  ['transfer-encoding', 'transfer-encoding'],
  ['expect', 'expect'],
  // Ignored (RFC 9110 section 7.8), or written again for a WebSocket handshake.
  ['upgrade', 'drop'],
  ['keep-alive', 'drop'],
  ['te', 'drop'],
  ['trailer', 'drop'],
  ['http2-settings', 'drop'],
  // The access token of a guarded instance. The instance must not see it.
  [ACCESS_HEADER, 'drop'],
  // Applications parse it in different ways; X-Forwarded-* says the same.
  ['forwarded', 'drop'],
  ['x-real-ip', 'forwarded'],
]);

/**
 * `Proxy` would become HTTP_PROXY in the environment of a CGI program (CVE-2016-5385), and a CGI
 * program cannot tell `X_Forwarded_For` from `X-Forwarded-For`. Both are dropped.
 */
const fieldKindOf = rememberKinds<FieldKind>((name) => {
  const kind = FIELD_KINDS.get(name);
  if (kind !== undefined) return kind;
  if (name.startsWith('x-forwarded-') || isIdentityField(name)) return 'forwarded';
  return name === 'proxy' || name.startsWith('proxy-') || name.includes('_') ? 'drop' : 'pass';
});

/** Sorts the fields into `head`. */
function readFields(rawHeaders: readonly string[], head: DraftHead): Refusal | undefined {
  let lines = '';
  let host: string | undefined;
  let nominated: Set<string> | undefined;
  let forwarded: ForwardedHeaders | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const value = rawHeaders[i + 1] ?? '';
    switch (fieldKindOf(name)) {
      case 'pass':
        lines += `${name}: ${value}\r\n`;
        break;
      case 'drop':
        break;
      case 'cookie': {
        const kept = dropReservedCookies(value);
        if (kept !== undefined) lines += `${name}: ${kept}\r\n`;
        break;
      }
      case 'service-worker':
        head.isServiceWorker = true;
        lines += `${name}: ${value}\r\n`;
        break;
      case 'reference':
        head.hasReference = true;
        lines += `${name}: ${value}\r\n`;
        break;
      case 'host':
        if (host !== undefined) return REFUSALS.host;
        host = value;
        break;
      case 'connection':
        nominated = nominate(value, nominated);
        break;
      case 'content-length':
        head.contentLength = value;
        break;
      case 'transfer-encoding':
        head.coding = join(head.coding, value);
        break;
      case 'expect':
        head.expect = join(head.expect, value);
        break;
      case 'forwarded':
        if (head.forwarded) {
          collect((forwarded ??= { ...NOTHING_FORWARDED }), name, value);
        }
        break;
    }
  }
  if (forwarded) head.forwarded = forwarded;
  head.hasHost = host !== undefined;
  head.host = host ?? '';
  head.lines = nominated === undefined ? lines : dropNominated(lines, nominated);
  return undefined;
}

function join(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`;
}

/** Collects the field names that Connection lists (RFC 9110 section 7.6.1). */
function nominate(value: string, before: Set<string> | undefined): Set<string> | undefined {
  // These three spellings cover almost all clients, and name no field that is forwarded.
  if (value === 'keep-alive' || value === 'close' || value === 'Upgrade') return before;
  const names = before ?? new Set();
  for (const token of value.split(',')) names.add(token.trim().toLowerCase());
  return names;
}

/** HTTP/1.0 requires no Host (RFC 9112 section 3.2). An invalid one is an error there too. */
function checkHost(head: DraftHead, isHttp10: boolean): Refusal | undefined {
  const { host, hasHost } = head;
  if (!hasHost && isHttp10) return undefined;
  if (!isAuthority(host)) return REFUSALS.host;
  head.host = host.replace(/:$/, '');
  return undefined;
}

const ENDS_CHUNKED = /(?:^|,)[ \t]*chunked[ \t]*$/i;

/** Requires one framing that every server understands alike (RFC 9112 section 6). */
function checkFraming(head: DraftHead, isHttp10: boolean): Refusal | undefined {
  const { coding, contentLength } = head;
  if (contentLength !== undefined && contentLength.length > MAX_LENGTH_DIGITS) {
    return REFUSALS.malformed;
  }
  if (coding === undefined) return undefined;
  if (coding.toLowerCase() !== 'chunked') {
    return ENDS_CHUNKED.test(coding) ? REFUSALS.coding : REFUSALS.framing;
  }
  if (isHttp10) return REFUSALS.oldFraming;
  head.chunked = true;
  return undefined;
}

/** HTTP/1.0 has no expectations (RFC 9110 section 10.1.1): there the field is ignored. */
function checkExpectation(head: DraftHead, isHttp10: boolean): Refusal | undefined {
  if (head.expect === undefined || isHttp10) return undefined;
  if (head.expect.toLowerCase() !== '100-continue') return REFUSALS.expectation;
  head.expectsContinue = true;
  return undefined;
}

/**
 * Whether a request whose Connection names Upgrade is a WebSocket handshake: a GET in HTTP/1.1 that
 * offers `websocket`, alone or among others (RFC 6455 section 4.2.1). All other offers are ignored, as
 * RFC 9110 section 7.8 allows, and in HTTP/1.0 requires.
 */
export function offersWebSocket({ method, httpVersion, headers }: IncomingMessage): boolean {
  return (
    method === 'GET' &&
    httpVersion === '1.1' &&
    (headers.upgrade ?? '').split(',').some((offer) => offer.trim().toLowerCase() === 'websocket')
  );
}

/** A nonce of 16 bytes in base64 (RFC 6455 section 4.1). */
const WEBSOCKET_KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

/**
 * Checks a WebSocket handshake (RFC 6455 section 4.2.1) after `offersWebSocket` and `readRequestHead`.
 * A handshake has no body: one server would read it as frames and another as a body.
 */
export function checkHandshake(
  { headers }: IncomingMessage,
  head: RequestHead,
): Refusal | undefined {
  const isHandshake = !hasBody(head) && WEBSOCKET_KEY.test(headers['sec-websocket-key'] ?? '');
  if (!isHandshake) return REFUSALS.upgrade;
  return headers['sec-websocket-version'] === '13' ? undefined : REFUSALS.webSocketVersion;
}
