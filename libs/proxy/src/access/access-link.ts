import { ACCESS_PARAMETER } from './presented-tokens.ts';

/**
 * A link that opens an instance: the proxy turns the token in it into a cookie and redirects
 * without it.
 */
export function accessLink(url: string, token: string): string {
  return `${url}?${ACCESS_PARAMETER}=${token}`;
}
