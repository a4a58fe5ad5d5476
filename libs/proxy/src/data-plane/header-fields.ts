import type { ServerResponse } from 'node:http';
import { MAX_REMEMBERED_FIELD_NAMES, MAX_REMEMBERED_NAME_LENGTH } from './limits.ts';

// Header fields as both directions use them: flat lists of name, value, name, value, … in the order
// and spelling of the message, which is what node:http calls `rawHeaders`.

/**
 * Remembers the kind of each spelling of a field name. Names come in any case, and lower-casing each
 * of them would be a measurable part of a request. The number of remembered names is bounded.
 *
 * @param classify gives the kind of a name in lower case
 */
export function rememberKinds<Kind extends string>(
  classify: (name: string) => Kind,
): (name: string) => Kind {
  const seen = new Map<string, Kind>();
  return (name) => {
    const known = seen.get(name);
    if (known !== undefined) return known;
    const kind = classify(name.toLowerCase());
    if (seen.size < MAX_REMEMBERED_FIELD_NAMES && name.length <= MAX_REMEMBERED_NAME_LENGTH) {
      seen.set(name, kind);
    }
    return kind;
  };
}

/**
 * Fields without `Content-Length`, which must not stand in a response that cannot have a body: 1xx,
 * 101 and 204 (RFC 9110 section 8.6). A recipient that believes it waits for a body, or reads the
 * next message as one.
 */
export function dropContentLength(fields: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    if (name.toLowerCase() !== 'content-length') kept.push(name, fields[i + 1] ?? '');
  }
  return kept;
}

const FRAMING = ['content-length', 'transfer-encoding', 'trailer'];

/**
 * Removes framing that the middleware of an application has set on a response. node:http would send
 * it with the response of the instance, whose body may be framed otherwise: the client could then
 * take a part of the body for the next response (RFC 9112 section 11.1).
 */
export function removeFraming(res: ServerResponse): void {
  for (const name of FRAMING) if (res.hasHeader(name)) res.removeHeader(name);
}

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

const hopKindOf = rememberKinds<'pass' | 'drop'>((name) =>
  HOP_BY_HOP.has(name) || name.startsWith('proxy-') ? 'drop' : 'pass',
);

/** The end-to-end fields of a response that node:http has parsed (RFC 9110 section 7.6.1). */
export function stripHopByHop(rawHeaders: readonly string[]): string[] {
  const fields: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (hopKindOf(name) === 'pass') fields.push(name, rawHeaders[i + 1] ?? '');
  }
  return fields;
}

/**
 * The fields of a 426 response that name the required protocols, and their Connection. Without them
 * the client cannot know what to upgrade to (RFC 9110 section 15.5.22).
 *
 * @param closes whether the client connection closes after the response
 */
export function upgradeRequired(upgrade: string, closes: boolean): string[] {
  return ['Upgrade', upgrade, 'Connection', closes ? 'close, Upgrade' : 'Upgrade'];
}

/**
 * A flat list as an object. Fields that are repeated, in whatever case, become lists under their
 * first spelling: of two spellings node:http would send only the last.
 */
export function toHeaders(fields: readonly string[]): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = Object.create(null) as typeof headers;
  const spellings = new Map<string, string>();
  for (let i = 0; i < fields.length; i += 2) {
    const spelling = fields[i] ?? '';
    const lower = spelling.toLowerCase();
    const name = spellings.get(lower) ?? spelling;
    spellings.set(lower, name);
    const value = fields[i + 1] ?? '';
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat();
  }
  return headers;
}

/** Header lines (`name: value\r\n…`) as a flat list. */
export function parseFields(lines: string): string[] {
  return lines
    .split('\r\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 2)];
    });
}

/** Header lines without the fields of these names, which are in lower case. */
export function dropNominated(lines: string, nominated: ReadonlySet<string>): string {
  return lines
    .split(/(?<=\r\n)/)
    .filter((line) => !nominated.has(line.slice(0, line.indexOf(':')).toLowerCase()))
    .join('');
}

/**
 * Fields by which a login proxy says who the visitor is, or passes on a token of the visitor:
 * X-Auth-Request-* (oauth2-proxy), Remote-* (Authelia), and X-Forwarded-* with such a word. With a
 * token the container could act as the visitor elsewhere.
 */
const IDENTITY =
  /^(?:x-auth-request-.*|remote-(?:user|name|email|groups)|x-forwarded-(?:.*-)?(?:user(?:name|id)?|uid|upn|sub(?:ject)?|(?:display-)?name|e?mail|groups?|roles?|access|bearer|tokens?|jwt|auth(?:orization)?|credentials?|password|cookie|identity|claims?|login|account|session|cert(?:ificate)?)(?:-.*)?)$/;

/** Whether a field tells the identity of the visitor. @param name in lower case */
export function isIdentityField(name: string): boolean {
  return IDENTITY.test(name);
}

/**
 * Fields that must not stand in a trailer section (RFC 9110 section 6.5.1): they frame, route,
 * authenticate or identify the client, and a recipient may merge trailers into the head.
 */
const FORBIDDEN_TRAILERS = new Set([
  'transfer-encoding',
  'content-length',
  'content-encoding',
  'content-type',
  'content-range',
  'trailer',
  'te',
  'host',
  'connection',
  'keep-alive',
  'upgrade',
  'expect',
  'range',
  'max-forwards',
  'cache-control',
  'authorization',
  'cookie',
  'set-cookie',
  'forwarded',
  'location',
  'service-worker-allowed',
  'x-real-ip',
]);

/** The trailers that are forwarded, as pairs; all others are dropped. */
export function allowedTrailers(fields: readonly string[]): [name: string, value: string][] {
  const allowed: [string, string][] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    if (isAllowedTrailer(name.toLowerCase())) allowed.push([name, fields[i + 1] ?? '']);
  }
  return allowed;
}

function isAllowedTrailer(name: string): boolean {
  return !(
    FORBIDDEN_TRAILERS.has(name) ||
    name.startsWith('x-forwarded-') ||
    isIdentityField(name) ||
    name.startsWith('proxy-') ||
    name.includes('_')
  );
}

/**
 * Cookies of the product itself, such as the dashboard's session. A browser sends a cookie to every
 * port of a host name, so these arrive with requests for instances that are served under the same
 * name. No instance may read or set one.
 */
const RESERVED_COOKIE = /^(?:__(?:host|secure)-)?ephemera-/i;

/** A value of `Cookie` without the product's own cookies; undefined if nothing is left. */
export function dropReservedCookies(value: string): string | undefined {
  if (!/ephemera-/i.test(value)) return value;
  const kept = value.split(';').filter((pair) => !RESERVED_COOKIE.test(pair.trim()));
  return kept.length === 0 ? undefined : kept.join(';').trim();
}

/**
 * Whether a value of `Set-Cookie` would set one of the product's own cookies. A browser stores
 * `=a=b` as a cookie without a name, and sends it as `a=b`.
 */
export function setsReservedCookie(value: string): boolean {
  return RESERVED_COOKIE.test(value.replace(/^[\s=]+/, ''));
}
