import type { IncomingMessage } from 'node:http';

/**
 * A reg-name, IPv4 address or IPv6 literal, with a port or without (RFC 9110 section 7.2). A port may
 * be empty (RFC 3986 section 3.2.3). User information is refused (RFC 9110 section 4.2.4).
 */
const AUTHORITY = /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d*)?$/;

/** Whether a text is an authority without user information: a valid value of Host. */
export function isAuthority(text: string): boolean {
  return AUTHORITY.test(text);
}

/** The name or address in a valid Host, in lower case, without port, brackets and final dot. */
export function hostNameOf(host: string): string {
  return host
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase();
}

/**
 * Whether the value of `Origin` is the origin that a request with this Host was sent to. The scheme
 * comes from `Origin`, because a load balancer may have ended TLS. Ports are compared, because
 * another port of the same host name may serve an instance.
 */
export function isSameOrigin(origin: string, host: string): boolean {
  const sender = URL.parse(origin);
  const own = sender && URL.parse(`${sender.protocol}//${host}`);
  return (
    own !== null &&
    sender?.port === own.port &&
    hostNameOf(sender.hostname) === hostNameOf(own.hostname)
  );
}

/** Scheme, authority, path and query of a target in absolute form. */
const ABSOLUTE_FORM = /^https?:\/\/([^/?#\\]*)([^]*)$/i;

/**
 * Rewrites a request in absolute form to origin form, so that nothing else has to know the absolute
 * form. The authority of the target takes the place of Host (RFC 9112 section 3.2.2), in `url`,
 * `headers` and `rawHeaders`.
 *
 * A request stays as it is if it is in another form, if its scheme is neither `http` nor `https`, if
 * an authority in it is invalid, or if HTTP/1.1 requires a Host that it does not have.
 */
export function useTargetAuthority(
  req: Pick<IncomingMessage, 'url' | 'headers' | 'rawHeaders' | 'httpVersion'>,
): void {
  const target = req.url ?? '';
  if (target.charCodeAt(0) === 0x2f) return;
  const [, authority = '', rest = ''] = ABSOLUTE_FORM.exec(target) ?? [];
  if (!isAuthority(authority)) return;
  const { rawHeaders, headers } = req;
  const at = rawHeaders.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
  // HTTP/1.0 requires no Host. In HTTP/1.1 an invalid one is an error in this form too.
  if (at === -1 ? req.httpVersion !== '1.0' : !isAuthority(rawHeaders[at + 1] ?? '')) return;
  if (at === -1) rawHeaders.push('Host', authority);
  else rawHeaders[at + 1] = authority;
  headers.host = authority;
  req.url = rest.startsWith('/') ? rest : `/${rest}`;
}
