import { COOKIE, HOST_COOKIE } from './presented-tokens.ts';

/** What the access cookie of an instance applies to. */
export interface Bound {
  /** First segment of the path form. */
  readonly prefix: string;
  readonly id: string;
  /** Names of ports that have their own address in path form. */
  readonly ports: readonly string[];
  /** Whether the visitor uses the instance's own host or a path under a shared host. */
  readonly form: 'host' | 'path';
  /** Whether the connection uses TLS. */
  readonly secure: boolean;
}

/**
 * Returns the `Set-Cookie` values for a token. In host form the cookie applies to the whole host;
 * in path form, to the instance's paths and its waiting page. They are session cookies; the token
 * is valid as long as the instance exists.
 */
export function accessCookies(token: string, bound: Bound): string[] {
  const { prefix, id, ports, form, secure } = bound;
  const attributes = `HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
  if (form === 'host') return [`${secure ? HOST_COOKIE : COOKIE}=${token}; Path=/; ${attributes}`];
  const paths = [id, `-/${id}`, ...ports.map((port) => `${id}:${port}`)];
  return paths.map((path) => `${COOKIE}=${token}; Path=/${prefix}/${path}; ${attributes}`);
}
