import { setsReservedCookie } from './header-fields.ts';
import {
  placeBelow,
  type RewriteContext,
  toVisitor,
  translateTargets,
} from './translate-address.ts';

/**
 * Fields that apply to a whole origin, or to all ports of a host. In path form other instances share
 * the origin. `NEL` would make the browser report every requested address to a third party.
 */
const ORIGIN_WIDE = new Set([
  'alt-svc',
  'clear-site-data',
  'nel',
  'origin-agent-cluster',
  'public-key-pins',
  'report-to',
  'service-worker-allowed',
  'strict-transport-security',
]);

/**
 * Added to every response in host form: instances that set `document.domain` to their common parent
 * do not become one origin, and a browser may run each in a process of its own. The field of an
 * instance is removed, because two instances could otherwise agree to share an origin.
 */
export const ORIGIN_KEYED = ['Origin-Agent-Cluster', '?1'] as const;

/** Fields that contain one URI reference. */
const REFERENCES = new Set(['content-location', 'sourcemap', 'x-sourcemap']);

/**
 * The first letters of the names that may be rewritten, as bits, by the length of the name. They
 * rule out almost all other names without a look at the rest of the name.
 */
const FIRST_LETTERS = new Uint32Array(32);
for (const name of ['location', 'link', 'refresh', 'set-cookie', ...REFERENCES, ...ORIGIN_WIDE]) {
  FIRST_LETTERS[name.length] = (FIRST_LETTERS[name.length] ?? 0) | letterBit(name);
}

/** The bit of a name's first letter in either case. */
function letterBit(name: string): number {
  return 1 << (name.charCodeAt(0) & 31);
}

/**
 * Rewrites the fields of a response for the visitor. A reference to the instance itself becomes one
 * that the visitor can follow, a cookie is confined to its instance, and a field that applies to a
 * shared origin is removed. Other fields pass unchanged.
 *
 * @param fields name, value, name, value, …
 * @returns the same list if nothing changed
 */
export function rewriteResponse(
  fields: readonly string[],
  context: RewriteContext,
): readonly string[] {
  let rewritten: string[] | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    const result = mayRewrite(name) ? rewriteField(name.toLowerCase(), value, context) : value;
    if (result !== value) rewritten ??= fields.slice(0, i);
    if (result !== undefined) rewritten?.push(name, result);
  }
  return rewritten ?? fields;
}

function mayRewrite(name: string): boolean {
  return ((FIRST_LETTERS[name.length] ?? 0) & letterBit(name)) !== 0;
}

function rewriteField(name: string, value: string, context: RewriteContext): string | undefined {
  switch (name) {
    case 'location':
      return rewriteLocation(value, context);
    case 'link':
      return translateTargets(value, (target) => toVisitor(target, context));
    case 'refresh':
      return rewriteRefresh(value, context);
    case 'set-cookie':
      return setsReservedCookie(value) ? undefined : rewriteCookie(value, context);
    default:
      if (REFERENCES.has(name)) return toVisitor(value, context);
      if (!ORIGIN_WIDE.has(name)) return value;
      if (context.sharesOrigin || name === 'origin-agent-cluster') return undefined;
      return name === 'clear-site-data' ? withoutCookies(value) : value;
  }
}

/**
 * Clear-Site-Data without cookies: clearing them clears those of the whole registrable domain, and
 * so those of other instances (Clear Site Data 4.2.2). An instance can expire its own one by one.
 */
function withoutCookies(value: string): string | undefined {
  const kept = value
    .split(',')
    .map((type) => type.trim())
    .flatMap((type) => (type === '"*"' ? ALL_BUT_COOKIES : type))
    .filter((type) => type !== '"cookies"');
  return kept.length === 0 ? undefined : kept.join(', ');
}

/** The meaning of `"*"`, without cookies. */
const ALL_BUT_COOKIES = ['"cache"', '"storage"', '"executionContexts"'];

/**
 * Translates a Location. A redirect from HTTP to HTTPS of the same URL keeps its scheme: without it
 * the redirect would lead to itself.
 */
export function rewriteLocation(location: string, context: RewriteContext): string {
  const translated = toVisitor(location, context);
  const [, authority] = /^https:\/\/([^/?#]*)/i.exec(location) ?? [];
  const { requested, origin, upstream } = context;
  if (authority === undefined || requested === undefined || !origin.startsWith('http:')) {
    return translated;
  }
  const isSameUrl = translated === requested || translated === origin + requested;
  if (!isSameUrl) return translated;
  // No visitor can reach the container's own address.
  const isContainer = hostnameOf(authority) === hostnameOf(upstream);
  return `https://${isContainer ? hostnameOf(origin.slice('http://'.length)) : authority}${requested}`;
}

function hostnameOf(authority: string): string {
  return URL.parse(`http://${authority}`)?.hostname ?? authority;
}

/**
 * Translates the URL of a Refresh field, as the shared declarative refresh steps of the HTML standard
 * read it: after a time and a semicolon, comma or space; with or without `url=`; in quotes or not.
 */
export function rewriteRefresh(refresh: string, context: RewriteContext): string {
  const [, before = '', quote = '', text = ''] = REFRESH.exec(refresh) ?? [];
  const end = quote === '' ? -1 : text.indexOf(quote);
  const url = (end === -1 ? text : text.slice(0, end)).trim();
  if (url === '') return refresh;
  return before + quote + toVisitor(url, context) + (end === -1 ? '' : text.slice(end));
}

const REFRESH =
  /^([\t\f ]*[\d.]+(?:[\t\f ]*[;,][\t\f ]*|[\t\f ]+)(?:url[\t\f ]*=[\t\f ]*)?)(["']?)([^]*)$/i;

/**
 * Confines a cookie to its instance: without Domain, and with a Path below the public prefix.
 *
 * Without a Path that begins with a slash, a browser uses the folder of the page that set the cookie
 * (RFC 6265 sections 5.1.4 and 5.2.4). For the bare prefix that folder is above the instance, so the
 * prefix is added as the first Path. Of several valid Paths the last counts.
 */
export function rewriteCookie(cookie: string, context: RewriteContext): string {
  const { publicPrefix, isBare } = context;
  const [pair = '', ...attributes] = cookie.split(';');
  const kept = attributes.filter((attribute) => !isAttribute(attribute, 'domain'));
  if (publicPrefix === '') return [pair, ...kept].join(';');
  const last = kept.findLastIndex((attribute) => isAttribute(attribute, 'path'));
  const confined = kept.flatMap((attribute, at) => {
    if (!isAttribute(attribute, 'path')) return [attribute];
    const path = attribute.slice(attribute.indexOf('=') + 1).trim();
    return at === last && path.startsWith('/') ? [` Path=${placeBelow(path, context)}`] : [];
  });
  return [pair, ...(isBare ? [` Path=${publicPrefix}/`] : []), ...confined].join(';');
}

function isAttribute(attribute: string, name: string): boolean {
  const equals = attribute.indexOf('=');
  const key = equals === -1 ? attribute : attribute.slice(0, equals);
  return key.trim().toLowerCase() === name;
}
