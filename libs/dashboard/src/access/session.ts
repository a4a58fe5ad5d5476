import { createHmac, randomBytes, createHash, timingSafeEqual } from 'node:crypto';
import type { Principal } from '@ephemera/domain';
import type { Identified, TokenSet } from '@ephemera/http';
import type { Context } from 'koa';
import { SESSION_PATH } from '../dashboard-routes.ts';

/** How long a session lasts, milliseconds. */
export const SESSION = 12 * 3_600_000;

/** How many sessions that were ended early are remembered individually. */
const ENDED = 10_000;

/** Stateless sessions: each is a signed expiry. Only early ends are stored. */
export interface Sessions {
  /** Returns the cookie value of a new session. */
  create(who: Pick<Identified, 'name' | 'fingerprint'>): string;
  /**
   * Returns the principal of a session; undefined if it is invalid or its token is no longer valid.
   */
  principal(value: string | undefined): Principal | undefined;
  /** Ends a session early, including all copies of its cookie. */
  end(value: string): void;
}

/** @param key signs sessions; not a token hash, because those are in the configuration */
export function createSessions(
  key: string,
  tokens: Pick<TokenSet, 'named'>,
  now: () => number,
): Sessions {
  const sign = (text: string) =>
    createHmac('sha256', key).update(`dashboard session ${text}`).digest('base64url');
  /** Sessions that were ended early, by id, with their expiry. */
  let ended = new Map<string, number>();
  /** All sessions that expire by then have ended. */
  let endedAll = 0;

  const read = (value: string) => {
    const [expires = '', name = '', fingerprint = '', id = '', signature = ''] = value.split('.');
    const isGenuine = equalSecrets(signature, sign(`${expires}.${name}.${fingerprint}.${id}`));
    const expiresAt = Number(expires);
    if (!isGenuine || expiresAt <= now() || expiresAt <= endedAll || ended.has(id))
      return undefined;
    return { expiresAt, name, fingerprint, id };
  };

  return {
    create({ name, fingerprint }) {
      const id = randomBytes(12).toString('base64url');
      const text = `${now() + SESSION}.${name}.${fingerprint}.${id}`;
      return `${text}.${sign(text)}`;
    },
    principal(value = '') {
      const session = read(value);
      return session && tokens.named(session.name, session.fingerprint);
    },
    end(value) {
      const session = read(value);
      if (!session) return;
      if (ended.size >= ENDED)
        ended = new Map([...ended].filter(([, expiresAt]) => expiresAt > now()));
      if (ended.size >= ENDED) {
        // The list is full. End all open sessions, so that no ended one becomes valid again.
        endedAll = now() + SESSION;
        ended = new Map();
      }
      ended.set(session.id, session.expiresAt);
    },
  };
}

const NAME = 'ephemera-dashboard';
/**
 * Over TLS, `__Host-` makes the browser refuse this cookie from another host or for a longer path
 * (RFC 6265bis 4.1.3.2). It requires `Path=/`. The proxy removes cookies named `ephemera-` from
 * requests to instances.
 */
const SECURE_NAME = `__Host-${NAME}`;

/** Sets the session cookie. */
export function setSessionCookie(ctx: Context, value: string): void {
  writeCookies(ctx, value, SESSION / 1000);
}

export function clearSessionCookie(ctx: Context): void {
  writeCookies(ctx, '', 0);
}

/** The principal of the session that a browser sent. */
export function sessionPrincipal(ctx: Context, sessions: Sessions): Principal | undefined {
  return sessionCookies(ctx)
    .map((text) => sessions.principal(text))
    .find(Boolean);
}

/** Ends the sessions that a browser sent, and every copy of their cookies. */
export function endSessions(ctx: Context, sessions: Sessions): void {
  for (const text of sessionCookies(ctx)) sessions.end(text);
}

/**
 * The session cookies of a request. There may be several: a page of an instance on another port of
 * this host name can set a cookie of the same name for a longer path, which the browser sends first.
 */
function sessionCookies(ctx: Context): string[] {
  const name = isSecure(ctx) ? SECURE_NAME : NAME;
  return ctx
    .get('cookie')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
}

function writeCookies(ctx: Context, value: string, maxAge: number): void {
  const attributes = `Max-Age=${maxAge}; HttpOnly; SameSite=Strict`;
  if (isSecure(ctx)) {
    ctx.append('set-cookie', `${SECURE_NAME}=${value}; Path=/; ${attributes}; Secure`);
    return;
  }
  ctx.append('set-cookie', `${NAME}=${value}; Path=${SESSION_PATH}; ${attributes}`);
}

/** X-Forwarded-Proto needs no trust here: a client that forges it only breaks its own login. */
function isSecure(ctx: Context): boolean {
  return ctx.secure || ctx.get('x-forwarded-proto').split(',')[0]?.trim() === 'https';
}

/** Compares in constant time. Hashing also hides the lengths. */
function equalSecrets(text: string, other: string): boolean {
  return timingSafeEqual(digest(text), digest(other));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
