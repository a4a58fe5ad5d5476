import type { IncomingMessage } from 'node:http';
import { requestFieldKind } from './request-fields.ts';
import type { ForwardedHeaders } from './forwarded.ts';
import { REFUSALS, type Refusal } from './refusal.ts';
import { withoutReserved } from './reserved-cookies.ts';
import { isPlainTarget } from './target.ts';

/** A request's head after the guards: what is passed on, and what decides how. */
export interface RequestHead {
  /** The one Host, as sent. */
  readonly host: string;
  /** The end-to-end header lines, as sent. */
  readonly lines: string;
  /** Length of the body; undefined where there is none or it is chunked. */
  readonly contentLength: string | undefined;
  readonly chunked: boolean;
  /** Whether the client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
  /** The Upgrade header as sent. */
  readonly upgrade: string | undefined;
  /** Whether a browser asks for the script of a service worker (Service Workers 4.2.9). */
  readonly isServiceWorker: boolean;
  /** What a trusted peer said of the client; undefined where the peer is not trusted. */
  readonly forwarded: ForwardedHeaders | undefined;
}

const MAX_FIELDS = 100;
/** A reg-name, IPv4 address or IPv6 literal, with a port or without (RFC 9110 7.2). */
const HOST = /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
/** Past so many digits servers differ in what they can hold. */
const MAX_LENGTH_DIGITS = 15;
const ENDS_CHUNKED = /(?:^|,)[ \t]*chunked[ \t]*$/i;

/**
 * Reads the head of a request in one pass and refuses whatever two servers might understand
 * differently (RFC 9112 section 11.2); the parser of node:http has refused the rest before.
 */
export function readRequestHead(req: IncomingMessage, trusted: boolean): RequestHead | Refusal {
  const { rawHeaders, httpVersion } = req;
  if (rawHeaders.length > MAX_FIELDS * 2) return REFUSALS.headers;
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return REFUSALS.version;
  if (req.method === 'TRACE' || req.method === 'CONNECT') return REFUSALS.method;
  if (!isPlainTarget(req.url ?? '')) return REFUSALS.target;

  let host: string | undefined;
  let lines = '';
  let contentLength: string | undefined;
  let coding: string | undefined;
  let expect: string | undefined;
  let upgrade: string | undefined;
  let nominated: Set<string> | undefined;
  let forwarded: ForwardedHeaders | undefined;
  let isServiceWorker = false;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const value = rawHeaders[i + 1] ?? '';
    switch (requestFieldKind(name)) {
      case 'pass':
        lines += `${name}: ${value}\r\n`;
        break;
      case 'drop':
        break;
      case 'cookie': {
        const kept = withoutReserved(value);
        if (kept !== undefined) lines += `${name}: ${kept}\r\n`;
        break;
      }
      case 'service-worker':
        isServiceWorker = true;
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
        contentLength = value;
        break;
      case 'transfer-encoding':
        coding = coding === undefined ? value : `${coding}, ${value}`;
        break;
      case 'expect':
        expect = expect === undefined ? value : `${expect}, ${value}`;
        break;
      case 'upgrade':
        upgrade = upgrade === undefined ? value : `${upgrade}, ${value}`;
        break;
      case 'forwarded':
        if (trusted) collect((forwarded ??= { ...NOTHING }), name.toLowerCase(), value);
        break;
    }
  }
  if (host === undefined || !HOST.test(host)) return REFUSALS.host;
  if (contentLength !== undefined && contentLength.length > MAX_LENGTH_DIGITS) {
    return REFUSALS.malformed;
  }
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    return ENDS_CHUNKED.test(coding) ? REFUSALS.coding : REFUSALS.framing;
  }
  if (coding !== undefined && httpVersion === '1.0') return REFUSALS.oldFraming;
  // HTTP/1.0 has no expectations (RFC 9110 10.1.1).
  if (httpVersion === '1.0') expect = undefined;
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') return REFUSALS.expectation;
  if (upgrade !== undefined && /\bh2c\b/i.test(upgrade)) return REFUSALS.upgrade;
  return {
    host,
    lines: nominated === undefined ? lines : without(lines, nominated),
    contentLength,
    chunked: coding !== undefined,
    expectsContinue: expect !== undefined,
    upgrade,
    isServiceWorker,
    forwarded: trusted ? (forwarded ?? NOTHING) : undefined,
  };
}

const NOTHING: Readonly<ForwardedHeaders> = {
  for: undefined,
  proto: undefined,
  host: undefined,
  prefix: undefined,
  realIp: undefined,
  forwarded: undefined,
};

const FORWARDED_FIELDS: Readonly<Record<string, keyof ForwardedHeaders>> = {
  'x-forwarded-for': 'for',
  'x-forwarded-proto': 'proto',
  'x-forwarded-host': 'host',
  'x-forwarded-prefix': 'prefix',
  'x-real-ip': 'realIp',
  forwarded: 'forwarded',
};

function collect(forwarded: ForwardedHeaders, name: string, value: string): void {
  const key = FORWARDED_FIELDS[name];
  if (key !== undefined)
    forwarded[key] = forwarded[key] === undefined ? value : `${forwarded[key]}, ${value}`;
}

/** Collects the fields that Connection names (RFC 9110 7.6.1); the usual options name none. */
function nominate(value: string, sofar: Set<string> | undefined): Set<string> | undefined {
  if (value === 'keep-alive' || value === 'close' || value === 'Upgrade') return sofar;
  const names = sofar ?? new Set();
  for (const token of value.split(',')) names.add(token.trim().toLowerCase());
  return names;
}

function without(lines: string, nominated: ReadonlySet<string>): string {
  return lines
    .split(/(?<=\r\n)/)
    .filter((line) => !nominated.has(line.slice(0, line.indexOf(':')).toLowerCase()))
    .join('');
}
