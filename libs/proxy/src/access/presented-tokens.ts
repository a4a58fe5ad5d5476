import type { IncomingHttpHeaders } from 'node:http';

/** The header that carries an access token; an application's own Authorization is left to it. */
export const ACCESS_HEADER = 'ephemera-token';
/** The parameter of a link that carries one. */
export const ACCESS_PARAMETER = 'ephemera-token';
/** The cookies that carry one: in host form over TLS, and in every other case. */
export const HOST_COOKIE = '__Host-ephemera-token';
export const COOKIE = 'ephemera-token';

/** How many cookies of these names are looked at; a neighbour may have set some more. */
const MAX_TOKENS = 8;

/** The access tokens that a request shows, and how. */
export interface PresentedTokens {
  readonly by: 'header' | 'link' | 'cookie';
  /** Of cookies there may be several; the right one is enough. */
  readonly tokens: readonly string[];
}

/** What a request shows; a link goes before a header, a header before cookies. */
export function presentedTokens(
  headers: IncomingHttpHeaders,
  target: string,
): PresentedTokens | undefined {
  const inLink = tokenInUrl(target);
  if (inLink !== undefined) return { by: 'link', tokens: inLink };
  const header = headers[ACCESS_HEADER];
  // A header that comes twice is joined by a comma, and so no token.
  if (header !== undefined) return { by: 'header', tokens: [String(header)] };
  const tokens = inCookies(headers.cookie);
  return tokens.length === 0 ? undefined : { by: 'cookie', tokens };
}

/** The target of a link without its token: what it leads to. */
export function withoutParameter(target: string): string {
  const at = target.indexOf('?');
  const kept = parametersOf(target).filter((text) => !isAccess(text));
  const path = target.slice(0, at);
  // Standing alone, `//x` would be another host.
  const own = path.startsWith('//') ? `/.${path}` : path;
  return kept.length === 0 ? own : `${own}?${kept.join('&')}`;
}

/**
 * Header lines as they may reach an instance that was entered with a token: without an address that
 * carries one. The header and the cookies of the product are passed on to nobody anyhow.
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
  // Twice is none.
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
