import { setsReserved } from './reserved-cookies.ts';

/** From where to where an answer travels, as far as its fields speak of addresses. */
export interface RewriteContext {
  /** What the visitor's address puts before the instance's own path; empty in host form. */
  readonly prefix: string;
  /** Whether the visitor asked for the prefix alone, without a slash behind it. */
  readonly isBare: boolean;
  /** Whether the prefix was taken off towards the instance. */
  readonly stripped: boolean;
  /** The instance's own `address:port`, which no visitor can reach. */
  readonly upstream: string;
  /** The names by which the visitor came, and the instance was asked, with a port or without. */
  readonly hosts: readonly string[];
}

/**
 * What speaks for a whole origin, or for all its ports: in path form that is every other
 * instance's too. `NEL` would have the browser tell a stranger of every address that it asks for.
 */
const OF_ORIGIN = new Set([
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
 * In host form, on every answer: instances that set `document.domain` to the name above them do not
 * become one origin, and a browser may give each a process of its own. What an instance says of it
 * is taken off, since two of them could agree otherwise.
 */
export const KEYED_BY_ORIGIN = ['Origin-Agent-Cluster', '?1'] as const;

/** The lengths of the names that are looked at, as bits: most names can be told by it alone. */
const LENGTHS = ['location', 'set-cookie', ...OF_ORIGIN].reduce(
  (bits, { length }) => bits | (1 << length),
  0,
);

/**
 * Makes an answer's fields right for the visitor: a Location that names the instance's own
 * address or root comes under the prefix, a cookie stays with its instance, and nothing is said
 * for an origin that others share. Other fields pass as they are.
 *
 * @param fields name, value, name, value, …
 */
export function rewriteResponse(
  fields: readonly string[],
  rewrite: RewriteContext,
): readonly string[] {
  let rewritten: string[] | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    const becomes = needsRewrite(name) ? rewriteField(name.toLowerCase(), value, rewrite) : value;
    if (becomes !== value) rewritten ??= fields.slice(0, i);
    if (becomes !== undefined) rewritten?.push(name, becomes);
  }
  return rewritten ?? fields;
}

function needsRewrite({ length }: string): boolean {
  return length <= 30 && ((LENGTHS >> length) & 1) === 1;
}

function rewriteField(name: string, value: string, rewrite: RewriteContext): string | undefined {
  switch (name) {
    case 'location':
      return rewriteLocation(value, rewrite);
    case 'set-cookie':
      return setsReserved(value) ? undefined : rewriteCookie(value, rewrite);
    default:
      if (!OF_ORIGIN.has(name)) return value;
      if (rewrite.prefix !== '' || name === 'origin-agent-cluster') return undefined;
      return name === 'clear-site-data' ? clearOwnOrigin(value) : value;
  }
}

/**
 * Clearing cookies clears those of the whole registrable domain, the other instances' among them
 * (Clear Site Data 4.2.2): what an origin has alone may go, its cookies it can end one by one.
 */
function clearOwnOrigin(value: string): string | undefined {
  const kept = value
    .split(',')
    .map((type) => type.trim())
    .flatMap((type) => (type === '"*"' ? EVERYTHING : type))
    .filter((type) => type !== '"cookies"');
  return kept.length === 0 ? undefined : kept.join(', ');
}

/** What `"*"` stands for, without the cookies. */
const EVERYTHING = ['"cache"', '"storage"', '"executionContexts"'];

/** A Location that leads elsewhere, or is relative to the page, passes as it is. */
export function rewriteLocation(location: string, rewrite: RewriteContext): string {
  const path = ownPath(location, rewrite);
  if (path === undefined) return location;
  return rewrite.stripped ? below(rewrite.prefix, path) : path;
}

/** The path of a Location that means the instance itself, by its address, the host or the root. */
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
  const named = plainAuthority(authority, location);
  const isHost = prefix !== '' && hosts.some((host) => plainAuthority(host, location) === named);
  if (!match || !(isUpstream || isHost)) return undefined;
  const path = rest.startsWith('/') ? rest : `/${rest}`;
  // Standing alone, `//x` would be another host.
  return path.startsWith('//') && prefix === '' ? `/.${path}` : path;
}

/** An authority as it can be compared: in lower case, without the port that its scheme implies. */
function plainAuthority(authority: string, location: string): string {
  const implied = /^https:/i.test(location) ? /:443$/ : /:80$/;
  return authority.toLowerCase().replace(implied, '');
}

/**
 * Confines a cookie to its instance: no Domain, and in path form every Path below the prefix.
 *
 * Without a Path that begins with a slash a browser takes the folder of the page that set it (RFC
 * 6265 5.1.4, 5.2.4). Of the prefix alone that is above the instance, so there the prefix is said
 * first: of several the last counts, or the first where a browser does not take to the others.
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
  const input = equals === -1 ? attribute : attribute.slice(0, equals);
  return input.trim().toLowerCase() === name;
}

/** Puts a path below the prefix, unless the instance, which may know its prefix, has done so. */
function below(prefix: string, path: string): string {
  const isBelow =
    path.startsWith(prefix) &&
    (path.length === prefix.length || /[/?#]/.test(path.charAt(prefix.length)));
  return isBelow ? path : prefix + path;
}
