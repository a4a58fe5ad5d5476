import type { IncomingHttpHeaders } from 'node:http';

/** The header that carries an access token. `Authorization` is left to the application. */
export const ACCESS_HEADER = 'ephemera-token';
/** The query parameter of a link that carries an access token. */
export const ACCESS_PARAMETER = 'ephemera-token';
/** The cookies that carry an access token: host form over TLS, and all other cases. */
export const HOST_COOKIE = '__Host-ephemera-token';
export const COOKIE = 'ephemera-token';

/** How many of these cookies are checked. Another instance may have set some more. */
const MAX_TOKENS = 8;

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

function inCookies(cookie: string | undefined): string[] {
  if (cookie?.includes(COOKIE) !== true) return [];
  return cookie
    .split(';')
    .filter(isAccessCookie)
    .slice(0, MAX_TOKENS)
    .map((pair) => pair.slice(pair.indexOf('=') + 1).trim());
}

function isAccessCookie(pair: string): boolean {
  const equals = pair.indexOf('=');
  const name = (equals === -1 ? pair : pair.slice(0, equals)).trim();
  return name === COOKIE || name === HOST_COOKIE;
}
