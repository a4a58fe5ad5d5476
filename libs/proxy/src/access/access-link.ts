import { ACCESS_PARAMETER } from './presented-tokens.ts';

/** The address of an instance that opens it: the token in it becomes a cookie, and is gone. */
export function accessLink(url: string, token: string): string {
  return `${url}?${ACCESS_PARAMETER}=${token}`;
}
