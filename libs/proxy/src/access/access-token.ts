import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { SigningKeys } from '@ephemera/config';
import { nameReference } from '@ephemera/domain';

/** The access token of one guarded instance. */
export interface AccessToken {
  /** Returned to the client that started the instance. It is not stored. */
  readonly token: string;
  /** Stored with the instance and its route: SHA-256 in base64url. */
  readonly hash: string;
}

/** 256 bits: a plain hash is enough, because the token cannot be guessed. */
export function makeAccessToken(token = randomBytes(32).toString('base64url')): AccessToken {
  return { token, hash: hash('sha256', token, 'base64url') };
}

/** What the token of a creation with an idempotency key is derived from. Neither is a secret. */
export interface AccessTokenSeed {
  /** Hash of the idempotency key and the client. */
  readonly key: string;
  /** Random per creation, because a client may use its key again after a day. */
  readonly salt: string;
}

/** Makes the token of a creation that may be repeated. @throws Error without a key */
export function deriveAccessToken(keys: SigningKeys, seed: AccessTokenSeed): AccessToken {
  return makeAccessToken(keys.sign('access', seedText(seed)));
}

/**
 * Returns the token that was derived for the first request, also after a rotation of the keys.
 * Undefined if no key made the token of this hash.
 */
export function repeatAccessToken(
  keys: SigningKeys,
  seed: AccessTokenSeed,
  expected: string,
): string | undefined {
  return keys.signByEach('access', seedText(seed)).find((token) => matchesToken(token, expected));
}

function seedText({ key, salt }: AccessTokenSeed): string {
  return `${key}\n${salt}`;
}

/** Length of a token: 32 bytes in base64url. */
const TOKEN_LENGTH = 43;

/** Returns whether a token matches a hash. Takes constant time for every text of its length. */
export function matchesToken(token: string, expected: string): boolean {
  if (token.length !== TOKEN_LENGTH) return false;
  const known = Buffer.from(expected, 'base64url');
  const input = hash('sha256', token, 'buffer');
  // The expected hash is empty where the store has lost it.
  return known.length === input.length && timingSafeEqual(input, known);
}

/**
 * A link that opens an instance: the proxy turns the token in it into a cookie and redirects
 * without it.
 */
export function accessLink(url: string, token: string): string {
  const at = url.includes('#') ? url.indexOf('#') : url.length;
  const address = url.slice(0, at);
  const separator = address.includes('?') ? '&' : '?';
  return `${address}${separator}${ACCESS_PARAMETER}=${token}${url.slice(at)}`;
}

/** What the access cookie of an instance applies to. */
export interface Bound {
  /** First segment of the path form. */
  readonly prefix: string;
  readonly id: string;
  /** The stable name by which the visitor opened the instance; undefined: by its id. */
  readonly name?: string | undefined;
  /** Names of ports that have their own address in path form. */
  readonly ports: readonly string[];
  /** Whether the visitor uses the instance's own host or a path under a shared host. */
  readonly form: 'host' | 'path';
  /** Whether the connection uses TLS. */
  readonly secure: boolean;
  /** Whether the cookies also work in a frame of another site. Default: false. */
  readonly isEmbedded?: boolean;
}

/**
 * Returns the `Set-Cookie` values for a token. In host form the cookie applies to the whole host;
 * in path form, to the instance's paths and its waiting page. They are session cookies; the token
 * is valid as long as the instance exists.
 *
 * Browsers send no `SameSite=Lax` cookie in a frame of another site. So an embedded instance gets a
 * second one, which exists only below the site of the outer page (Cookies Having Independent
 * Partitioned State). Outside of TLS, browsers keep it on localhost only.
 */
export function accessCookies(token: string, bound: Bound): string[] {
  const { prefix, id, ports, form, secure } = bound;
  const own = bound.name === undefined ? id : nameReference(bound.name);
  const name = form === 'host' && secure ? HOST_COOKIE : COOKIE;
  const paths =
    form === 'host'
      ? ['/']
      : [own, `-/${id}`, ...ports.map((port) => `${own}:${port}`)].map(
          (path) => `/${prefix}/${path}`,
        );
  const kinds = [
    `HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`,
    ...(bound.isEmbedded === true ? ['HttpOnly; SameSite=None; Secure; Partitioned'] : []),
  ];
  return kinds.flatMap((attributes) =>
    paths.map((path) => `${name}=${token}; Path=${path}; ${attributes}`),
  );
}

/** The header that carries an access token. `Authorization` is left to the application. */
export const ACCESS_HEADER = 'ephemera-token';
/** The query parameter of a link that carries an access token. */
const ACCESS_PARAMETER = 'ephemera-token';
/** The cookies that carry an access token: host form over TLS, and all other cases. */
const HOST_COOKIE = '__Host-ephemera-token';
const COOKIE = 'ephemera-token';

/** The access tokens that a request carries, and where. */
export interface PresentedTokens {
  readonly by: 'header' | 'link' | 'cookie';
  /** There may be several cookies; one right token is enough. */
  readonly tokens: readonly string[];
}

/**
 * Returns the tokens of a request. A link takes precedence over a header, a header over cookies.
 */
export function presentedTokens(
  headers: IncomingHttpHeaders,
  target: string,
): PresentedTokens | undefined {
  const inLink = tokenInUrl(target);
  if (inLink !== undefined) return { by: 'link', tokens: inLink };
  const header = headers[ACCESS_HEADER];
  // node:http joins a repeated header with a comma. The result matches no token.
  if (header !== undefined) return { by: 'header', tokens: [String(header)] };
  const tokens = inCookies(headers.cookie);
  return tokens.length === 0 ? undefined : { by: 'cookie', tokens };
}

/** Returns the target of a link without its token. */
export function withoutParameter(target: string): string {
  const at = target.indexOf('?');
  const kept = parametersOf(target).filter((text) => !isAccess(text));
  const path = target.slice(0, at);
  // A target of `//x` would name another host.
  const own = path.startsWith('//') ? `/.${path}` : path;
  return kept.length === 0 ? own : `${own}?${kept.join('&')}`;
}

/**
 * Removes `Referer` lines that contain an access token. The product's own header and cookies are
 * removed elsewhere.
 */
export function withoutLinks(lines: string): string {
  if (!lines.includes(`${ACCESS_PARAMETER}=`)) return lines;
  return lines
    .split(/(?<=\r\n)/)
    .filter((line) => !(/^referer:/i.test(line) && line.includes(`${ACCESS_PARAMETER}=`)))
    .join('');
}

function tokenInUrl(target: string): string[] | undefined {
  if (!target.includes(ACCESS_PARAMETER)) return undefined;
  const values = parametersOf(target).filter(isAccess);
  // A repeated parameter counts as a wrong token.
  if (values.length > 1) return [];
  return values[0] === undefined ? undefined : [values[0].slice(ACCESS_PARAMETER.length + 1)];
}

function parametersOf(target: string): string[] {
  const at = target.indexOf('?');
  return at === -1 ? [] : target.slice(at + 1).split('&');
}

function isAccess(parameter: string): boolean {
  return parameter === ACCESS_PARAMETER || parameter.startsWith(`${ACCESS_PARAMETER}=`);
}

/**
 * Every distinct token in the cookies, those of `__Host-` first, because no other host can set them.
 *
 * A page of another instance can set any number of cookies for the parent domain, which browsers send
 * before the right one. So none is left out: the maximum size of a request header limits them. A
 * value that cannot be a token costs no hash.
 */
function inCookies(cookie: string | undefined): string[] {
  if (cookie?.includes(COOKIE) !== true) return [];
  const tokens: Record<string, string[]> = { [HOST_COOKIE]: [], [COOKIE]: [] };
  for (const pair of cookie.split(';')) {
    const equals = pair.indexOf('=');
    const name = (equals === -1 ? pair : pair.slice(0, equals)).trim();
    if (Object.hasOwn(tokens, name)) tokens[name]?.push(pair.slice(equals + 1).trim());
  }
  return [...new Set(Object.values(tokens).flat())];
}
