import { COOKIE, HOST_COOKIE } from './presented-tokens.ts';

/** What a cookie of an instance is bound to. */
export interface Bound {
  /** First segment of the path form. */
  readonly prefix: string;
  readonly id: string;
  /** Names of ports that are addresses of their own in path form. */
  readonly ports: readonly string[];
  /** Whether the visitor came by the instance's own host, or by a path below a common one. */
  readonly form: 'host' | 'path';
  /** Whether over TLS. */
  readonly secure: boolean;
}

/**
 * The `Set-Cookie` of a token: for the whole of the instance's own host, or for its paths alone,
 * the one of its waiting page among them. They last as long as the browser has them; what they
 * open lasts as long as the instance.
 */
export function accessCookies(token: string, bound: Bound): string[] {
  const { prefix, id, ports, form, secure } = bound;
  const attributes = `HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
  if (form === 'host') return [`${secure ? HOST_COOKIE : COOKIE}=${token}; Path=/; ${attributes}`];
  const paths = [id, `-/${id}`, ...ports.map((port) => `${id}:${port}`)];
  return paths.map((path) => `${COOKIE}=${token}; Path=/${prefix}/${path}; ${attributes}`);
}
