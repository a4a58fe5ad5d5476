import { ACCESS_HEADER } from '../access/presented-tokens.ts';
import { fieldKinds } from './field-kinds.ts';

/** What becomes of a request's header field. */
export type RequestFieldKind =
  /** End-to-end: passed on as it is. */
  | 'pass'
  /** Concerns this connection only, or only looks like a field that matters. */
  | 'drop'
  /** Says who the client is: believed from a trusted peer, else dropped. */
  | 'forwarded'
  | 'host'
  /** Passed on without the product's own. */
  | 'cookie'
  /** Passed on, and tells that a browser asks for the script of a service worker. */
  | 'service-worker'
  | 'connection'
  | 'content-length'
  | 'transfer-encoding'
  | 'expect'
  | 'upgrade';

const KINDS = new Map<string, RequestFieldKind>([
  ['host', 'host'],
  ['cookie', 'cookie'],
  ['service-worker', 'service-worker'],
  ['connection', 'connection'],
  ['content-length', 'content-length'],
  ['transfer-encoding', 'transfer-encoding'],
  ['expect', 'expect'],
  ['upgrade', 'upgrade'],
  ['keep-alive', 'drop'],
  ['te', 'drop'],
  ['trailer', 'drop'],
  ['http2-settings', 'drop'],
  // Opens a guarded instance, and is nothing that it is to see.
  [ACCESS_HEADER, 'drop'],
  ['forwarded', 'forwarded'],
  ['x-real-ip', 'forwarded'],
]);

/**
 * The kind of a request's field. `Proxy` would become HTTP_PROXY in a CGI's environment, and
 * there a name with an underscore cannot be told from the same with a hyphen: both are dropped.
 */
export const requestFieldKind = fieldKinds<RequestFieldKind>((name) => {
  const kind = KINDS.get(name);
  if (kind !== undefined) return kind;
  if (name.startsWith('x-forwarded-')) return 'forwarded';
  return name === 'proxy' || name.startsWith('proxy-') || name.includes('_') ? 'drop' : 'pass';
});
