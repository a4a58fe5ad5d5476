/**
 * Both addresses of an instance: the visitor's, and the one that the instance knows. The visitor's
 * may be below a prefix, behind TLS, and on another port.
 */
export interface RewriteContext {
  /** Whether other instances share the visitor's origin, as in path form. */
  readonly sharesOrigin: boolean;
  /** Whether the visitor requested the prefix without a slash behind it. */
  readonly isBare: boolean;
  /** What the visitor's paths begin with: an outer prefix, and in path form `/demo/{id}`. */
  readonly publicPrefix: string;
  /** Prefixes that the instance may put before its own paths; the first match counts. */
  readonly knownPrefixes: readonly string[];
  /** What the paths of the instance's requests begin with; empty if the prefix was stripped. */
  readonly instancePrefix: string;
  /** The visitor's scheme, host and port, as in `https://demos.example:8443`. */
  readonly origin: string;
  /** Scheme, host and port as the instance sees them in its requests: `http://10.0.0.2:8080`. */
  readonly instanceOrigin: string;
  /** The instance's own `address:port`, which no visitor can reach. */
  readonly upstream: string;
  /** The hosts of the visitor's request and of the proxy's own, with a port or without. */
  readonly hosts: readonly string[];
  /** The visitor's path and query, if the method is GET or HEAD. */
  readonly requested: string | undefined;
}

/**
 * Translates a URI reference of an instance for the visitor. A path, and a URL that names the
 * instance itself, become a path below the public prefix. In host form the URL becomes one of the
 * visitor's origin. Other sites, and references that are relative to the page, pass unchanged.
 */
export function toVisitor(reference: string, context: RewriteContext): string {
  const { sharesOrigin, isBare, publicPrefix, knownPrefixes, instancePrefix, origin } = context;
  if (isRooted(reference)) return placeBelow(reference, context);
  // The instance saw `/`, but the browser resolves the reference against `/demo/{id}`.
  if (isBare && instancePrefix === '' && RELATIVE_PATH.test(reference)) {
    return `${publicPrefix}/${reference}`;
  }
  const path = ownPath(reference, context);
  if (path === undefined) return reference;
  const placed = placeBelow(path, context);
  if (!sharesOrigin) return origin + placed;
  // An application that obeys the prefix of an outer proxy has written the visitor's own URL.
  const hasOuterPrefix = knownPrefixes.some((prefix) => prefix !== publicPrefix);
  return hasOuterPrefix && reference === origin + placed ? reference : placed;
}

/** Moves a path of the instance below the public prefix, unless it is there. */
export function placeBelow(path: string, context: RewriteContext): string {
  const { publicPrefix, knownPrefixes } = context;
  if (publicPrefix === '') return path;
  const rooted = path.startsWith('/') ? path : `/${path}`;
  const known = knownPrefixes.find((prefix) => isBelow(rooted, prefix));
  return publicPrefix + (known === undefined ? rooted : rooted.slice(known.length));
}

/**
 * Translates a URI reference of a client for the instance, if it names a resource of the instance.
 * The result has the scheme and the authority of the instance's own request, because servers compare
 * them (RFC 4918 section 9.8.5).
 */
export function toInstance(reference: string, context: RewriteContext): string {
  if (isRooted(reference)) {
    const own = instancePath(reference, context) ?? reference;
    // A reference of `//x` would name another host.
    return own.startsWith('//') ? context.instanceOrigin + own : own;
  }
  const path = ownPath(reference, context);
  const translated = path === undefined ? undefined : instancePath(path, context);
  return translated === undefined ? reference : context.instanceOrigin + translated;
}

/**
 * Replaces the visitor's own origin in a value of `Origin` or `Referer` by the origin that a masked
 * Host implies. Values of other sites, and `null`, pass unchanged.
 */
export function maskOrigin(value: string, context: RewriteContext): string {
  const [, origin = '', path = ''] = /^(https?:\/\/[^/?#]+)([^]*)$/i.exec(value) ?? [];
  if (URL.parse(origin)?.origin !== context.origin) return value;
  return context.instanceOrigin + (path === '' ? '' : (instancePath(path, context) ?? path));
}

/**
 * Translates the references in angle brackets, as in `Link` (RFC 8288 section 3) and in the tagged
 * lists of `If` (RFC 4918 section 10.4). Brackets in quoted strings have no meaning.
 */
export function translateTargets(value: string, translate: (reference: string) => string): string {
  // Unterminated strings and brackets match to the end, so that the time is linear.
  return value.replace(
    /"(?:[^"\\]|\\[^]?)*(?:"|$)|<([^>]*)(?:>|$)/g,
    (whole: string, target: string | undefined) => {
      if (target === undefined || !whole.endsWith('>')) return whole;
      const trimmed = target.trim();
      const translated = translate(trimmed);
      return translated === trimmed ? whole : `<${translated}>`;
    },
  );
}

/** The path of a prefix header or of a URL, without a slash at its end; empty if it has none. */
export function readOuterPrefix(value: string): string {
  if (value.length > MAX_PREFIX_LENGTH) return '';
  // Proxies in a row append their prefixes.
  const prefix = value
    .split(',')
    .map((part) => part.trim().replace(/\/+$/, ''))
    .join('');
  return OUTER_PREFIX.test(prefix) ? prefix : '';
}

/** Longer prefix headers are ignored, characters. */
const MAX_PREFIX_LENGTH = 1_000;

/** Segments of RFC 3986, without the characters that delimit URLs in header fields. */
const OUTER_PREFIX = /^(?:\/[\w.~!$&()*+=:@%-]+)+$/;

/** A reference whose path is relative to the page: it has neither a scheme nor a slash first. */
const RELATIVE_PATH = /^[^/?#:\\]+(?:[/?#]|$)/;

/** An absolute or scheme-relative HTTP URL. */
const URL_WITH_AUTHORITY = /^(?:(https?):)?\/\/([^/?#\\]*)([/?#][^]*)?$/i;

function isRooted(reference: string): boolean {
  return reference.startsWith('/') && !reference.startsWith('//');
}

/** The part after the authority of a URL that names the instance itself. */
function ownPath(reference: string, context: RewriteContext): string | undefined {
  const match = URL_WITH_AUTHORITY.exec(reference);
  if (!match) return undefined;
  const [, scheme = schemeOf(context.origin), authority = '', rest = ''] = match;
  return isOwnAuthority(scheme, authority, context) ? rest : undefined;
}

/**
 * Whether an authority is the container's address, or the host that the visitor uses. Its port may
 * be absent or the container's: many applications know no other.
 */
function isOwnAuthority(
  scheme: string,
  authority: string,
  { origin, upstream, hosts }: RewriteContext,
): boolean {
  if (authority.includes('@')) return false;
  const url = URL.parse(`${scheme}://${authority}`);
  const container = URL.parse(`http://${upstream}`);
  if (!url || !container) return false;
  const containerPort = effectivePort(container);
  if (nameOf(url) === nameOf(container)) return url.port === '' || url.port === containerPort;
  return hosts.some((host) => {
    const known = URL.parse(`${schemeOf(origin)}://${host}`);
    if (!known || nameOf(known) !== nameOf(url)) return false;
    return ['', containerPort, effectivePort(known)].includes(url.port);
  });
}

/** The scheme of an origin, which need not parse: a Host may be valid and no host of a URL. */
function schemeOf(origin: string): string {
  return origin.slice(0, origin.indexOf(':'));
}

/** A host name without the dot of the root domain. */
function nameOf({ hostname }: URL): string {
  return hostname.replace(/\.$/, '');
}

function effectivePort({ port, protocol }: URL): string {
  return port === '' ? (protocol === 'https:' ? '443' : '80') : port;
}

/** The instance's own path for a path of the visitor; undefined if it is not the instance's. */
function instancePath(
  path: string,
  { knownPrefixes, publicPrefix, instancePrefix }: RewriteContext,
): string | undefined {
  if (publicPrefix === '') return path;
  const prefix = knownPrefixes.find((known) => isBelow(path, known));
  if (prefix === undefined) return undefined;
  const rest = path.slice(prefix.length);
  return instancePrefix === '' && !rest.startsWith('/') ? `/${rest}` : instancePrefix + rest;
}

function isBelow(path: string, prefix: string): boolean {
  return (
    path.startsWith(prefix) &&
    (path.length === prefix.length || /[/?#]/.test(path.charAt(prefix.length)))
  );
}
