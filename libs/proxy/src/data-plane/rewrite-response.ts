import { setsReservedCookie } from './header-fields.ts';

/** What a response is rewritten for: the addresses of the visitor and of the instance. */
export interface RewriteContext {
  /** The part of the visitor's path before the instance's own path; empty in host form. */
  readonly prefix: string;
  /** Whether the visitor requested the prefix without a slash behind it. */
  readonly isBare: boolean;
  /** Whether the prefix was stripped from the upstream request. */
  readonly stripped: boolean;
  /** The instance's own `address:port`, which no visitor can reach. */
  readonly upstream: string;
  /** The hosts that the visitor and the proxy's own request used, with a port or without. */
  readonly hosts: readonly string[];
}

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

/** The lengths of the names that may be rewritten, as bits: they rule out most names. */
const REWRITTEN_LENGTHS = ['location', 'set-cookie', ...ORIGIN_WIDE].reduce(
  (bits, { length }) => bits | (1 << length),
  0,
);

/**
 * Rewrites the fields of a response for the visitor. A Location that names the instance's own address
 * or root is moved below the prefix, a cookie is confined to its instance, and a field that applies
 * to a shared origin is removed. Other fields pass unchanged.
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

function mayRewrite({ length }: string): boolean {
  return length <= 30 && ((REWRITTEN_LENGTHS >> length) & 1) === 1;
}

function rewriteField(name: string, value: string, context: RewriteContext): string | undefined {
  switch (name) {
    case 'location':
      return rewriteLocation(value, context);
    case 'set-cookie':
      return setsReservedCookie(value) ? undefined : rewriteCookie(value, context);
    default:
      if (!ORIGIN_WIDE.has(name)) return value;
      if (context.prefix !== '' || name === 'origin-agent-cluster') return undefined;
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

/** A Location that leads to another site, or is relative to the page, passes unchanged. */
export function rewriteLocation(location: string, context: RewriteContext): string {
  const path = ownPath(location, context);
  if (path === undefined) return location;
  return context.stripped ? below(context.prefix, path) : path;
}

/** The path of a Location that means the instance itself: by its address, a host, or the root. */
function ownPath(
  location: string,
  { upstream, hosts, prefix }: RewriteContext,
): string | undefined {
  if (location.startsWith('/') && !location.startsWith('//')) {
    return prefix === '' ? undefined : location;
  }
  const match = /^(?:https?:)?\/\/([^/?#]*)([^]*)$/i.exec(location);
  const [, authority = '', rest = ''] = match ?? [];
  const isUpstream = authority === upstream || `${authority}:80` === upstream;
  const named = normalAuthority(authority, location);
  const isHost = prefix !== '' && hosts.some((host) => normalAuthority(host, location) === named);
  if (!match || !(isUpstream || isHost)) return undefined;
  const path = rest.startsWith('/') ? rest : `/${rest}`;
  // A Location of `//x` would name another host.
  return path.startsWith('//') && prefix === '' ? `/.${path}` : path;
}

/** An authority in lower case, without the default port of its scheme. */
function normalAuthority(authority: string, location: string): string {
  const implied = /^https:/i.test(location) ? /:443$/ : /:80$/;
  return authority.toLowerCase().replace(implied, '');
}

/**
 * Confines a cookie to its instance: without Domain, and in path form with a Path below the prefix.
 *
 * Without a Path that begins with a slash, a browser uses the folder of the page that set the cookie
 * (RFC 6265 sections 5.1.4 and 5.2.4). For the bare prefix that folder is above the instance, so the
 * prefix is added as the first Path. Of several valid Paths the last counts.
 */
export function rewriteCookie(
  cookie: string,
  { prefix, isBare }: Pick<RewriteContext, 'prefix' | 'isBare'>,
): string {
  const [pair = '', ...attributes] = cookie.split(';');
  const kept = attributes.filter((attribute) => !isAttribute(attribute, 'domain'));
  if (prefix === '') return [pair, ...kept].join(';');
  const last = kept.findLastIndex((attribute) => isAttribute(attribute, 'path'));
  const confined = kept.flatMap((attribute, at) => {
    if (!isAttribute(attribute, 'path')) return [attribute];
    const path = attribute.slice(attribute.indexOf('=') + 1).trim();
    return at === last && path.startsWith('/') ? [` Path=${below(prefix, path)}`] : [];
  });
  return [pair, ...(isBare ? [` Path=${prefix}/`] : []), ...confined].join(';');
}

function isAttribute(attribute: string, name: string): boolean {
  const equals = attribute.indexOf('=');
  const key = equals === -1 ? attribute : attribute.slice(0, equals);
  return key.trim().toLowerCase() === name;
}

/** Moves a path below the prefix, unless it is there: the instance may know its prefix. */
function below(prefix: string, path: string): string {
  const isBelow =
    path.startsWith(prefix) &&
    (path.length === prefix.length || /[/?#]/.test(path.charAt(prefix.length)));
  return isBelow ? path : prefix + path;
}
