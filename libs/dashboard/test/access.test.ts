import * as crypto from 'node:crypto';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createTokens, hashToken } from '@ephemera/http';
import { SESSION, createSessions } from '../src/access/session.ts';
import {
  BEARER,
  HTML,
  READER,
  TOKEN,
  entries,
  postForm,
  openDashboard,
  signIn,
} from './fixture.ts';
import type { Fixture } from './fixture.ts';

vi.mock('node:crypto', async (original) => {
  const actual = await original<typeof crypto>();
  return { ...actual, timingSafeEqual: vi.fn(actual.timingSafeEqual) };
});

const tokens = createTokens(TOKEN, () => ({}));

let fixture: Fixture;
let cookie: string;

beforeAll(async () => {
  fixture = await openDashboard();
  cookie = await signIn(fixture.url);
});
afterAll(() => fixture.stop());

const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(`${fixture.url}${path}`, { headers, redirect: 'manual' });

const INSIDE = [
  '/dashboard/instances',
  '/dashboard/queues',
  '/dashboard/queues/api/queues',
  '/dashboard/queues/static/images/logo.svg',
];

test.each(INSIDE)('%s is closed without authentication', async (path) => {
  const program = await get(path);
  expect(program.status).toBe(401);
  expect(program.headers.get('content-type')).toBe('application/problem+json');
  expect(program.headers.get('www-authenticate')).toContain('Bearer');

  const browser = await get(path, HTML);
  expect(browser.status).toBe(303);
  expect(browser.headers.get('location')).toMatch(/^\/dashboard\/login/);
});

test.each(INSIDE)('%s accepts the token and a session', async (path) => {
  expect((await get(path, BEARER)).status).toBe(200);
  expect((await get(path, { cookie })).status).toBe(200);
});

test('a part of the token, a longer one and none are refused', async () => {
  for (const wrong of [TOKEN.slice(0, -1), `${TOKEN}x`, '', ' ']) {
    expect((await get('/dashboard/instances', { authorization: `Bearer ${wrong}` })).status).toBe(
      401,
    );
  }
});

test.each(['/', '/dashboard'])('%s redirects to the instances', async (path) => {
  const answer = await get(path);
  expect(answer.status).toBe(302);
  expect(answer.headers.get('location')).toBe('/dashboard/instances');
});

test('health needs no token', async () => {
  expect((await get('/healthz')).status).toBe(200);
  expect(await (await get('/readyz')).json()).toMatchObject({ ready: true });
});

test("a session's cookie is HttpOnly, SameSite=Strict, and limited to the path of the dashboard", async () => {
  const answer = await postForm(`${fixture.url}/dashboard/login`, {
    token: TOKEN,
    next: '/dashboard/queues',
  });
  expect(answer.status).toBe(303);
  expect(answer.headers.get('location')).toBe('/dashboard/queues');
  const cookies = answer.headers.getSetCookie();
  expect(cookies.map((cooky) => /Path=([^;]+)/.exec(cooky)?.[1])).toEqual(['/dashboard']);
  for (const cooky of cookies) {
    expect(cooky).toContain('; HttpOnly; SameSite=Strict');
    expect(cooky).toContain(`Max-Age=${12 * 3600};`);
    expect(cooky).not.toContain('Secure');
    expect(cooky).not.toContain(TOKEN);
  }
});

test('behind TLS the cookie is Secure', async () => {
  const answer = await postForm(
    `${fixture.url}/dashboard/login`,
    { token: TOKEN },
    { 'x-forwarded-proto': 'https' },
  );
  const [cookie = '', ...more] = answer.headers.getSetCookie();
  expect(more).toEqual([]);
  expect(cookie).toMatch(/^__Host-ephemera-dashboard=[^;]+; Path=\/; .*; Secure$/);
  const pair = { cookie: cookie.split(';')[0] ?? '' };
  expect(
    (await get('/dashboard/instances', { ...pair, 'x-forwarded-proto': 'https' })).status,
  ).toBe(200);
  expect((await get('/dashboard/instances', pair)).status).toBe(401);
});

test('a changed or forged cookie, or one of another token, is refused', async () => {
  const [name = '', value = ''] = cookie.split('=');
  const [expires = '', principal = '', print = '', id = '', signature = ''] = value.split('.');
  const who = { name: principal, fingerprint: print };
  const other = createSessions('another-key-of-somebody', tokens, Date.now).create(who);
  const later = String(Number(expires) + 1);
  const rest = `${principal}.${print}.${id}`;
  for (const bad of [
    `${later}.${rest}.${signature}`,
    `${expires}.looker.${print}.${id}.${signature}`,
    `${expires}.${principal}.${print}.${id}x.${signature}`,
    `${expires}.${rest}.`,
    expires,
    '.',
    '...',
    '',
    other,
  ]) {
    expect((await get('/dashboard/instances', { cookie: `${name}=${bad}` })).status, bad).toBe(401);
  }
});

test('the signature of a session is compared in constant time', () => {
  const compare = vi.mocked(crypto.timingSafeEqual);
  const sessions = createSessions('a-key', tokens, Date.now);
  const value = sessions.create({ name: 'admin', fingerprint: '' });
  for (const input of [value, `${value}x`, value.slice(0, -1), '', 'a.b.c.d.e']) {
    compare.mockClear();
    sessions.principal(input);
    expect(compare, input).toHaveBeenCalledOnce();
  }
});

test('a token of scope read can read, and cannot change anything', async () => {
  const bearer = { authorization: `Bearer ${READER}` };
  const own = await signIn(fixture.url, READER);
  const { id } = await fixture.draftInstance();
  for (const headers of [bearer, { cookie: own }]) {
    for (const path of ['/dashboard/instances', '/dashboard/queues/api/queues']) {
      expect((await get(path, headers)).status).toBe(200);
    }
    expect(
      (await postForm(`${fixture.url}/dashboard/instances/${id}/end`, {}, headers)).status,
    ).toBe(403);
    const paused = await fetch(`${fixture.url}/dashboard/queues/api/queues/pause`, {
      method: 'PUT',
      headers: { ...headers, origin: fixture.url },
    });
    expect(paused.status).toBe(403);
  }
  expect(await fixture.instances.get(id)).toMatchObject({ state: 'pending' });
});

test('a session ends when its token is replaced or removed', async () => {
  const before = entries['looker'];
  const own = await signIn(fixture.url, READER);
  const status = async () => (await get('/dashboard/instances', { cookie: own })).status;
  expect(await status()).toBe(200);
  entries['looker'] = { hash: [hashToken('another-of-the-name')], scopes: ['read'] };
  expect(await status()).toBe(401);
  if (before) entries['looker'] = before;
  expect(await status()).toBe(200);
  entries['looker'] = { hash: before?.hash ?? [], scopes: ['create'] };
  expect(await status()).toBe(403);
  if (before) entries['looker'] = before;
});

// A page of an instance on another port can set a cookie of this name, which the browser sends
// first.
test('a forged cookie before the right one has no effect', async () => {
  const forged = `ephemera-dashboard=forged; ${cookie}; ephemera-dashboard=`;
  expect((await get('/dashboard/instances', { cookie: forged })).status).toBe(200);
});

test('ended sessions stay ended, however many there are; a forged one ends none', () => {
  let now = 1_000;
  const sessions = createSessions(TOKEN, tokens, () => now);
  const who = tokens.identify(TOKEN);
  if (!who) throw new Error('the token is not known');
  const first = sessions.create(who);
  const kept = sessions.create(who);
  sessions.end(first);
  for (let i = 1; i < 10_000; i++) sessions.end(sessions.create(who));
  sessions.end(`${kept}x`);
  expect([sessions.principal(first), sessions.principal(kept)?.name]).toEqual([undefined, 'admin']);
  // The list is full. All open sessions end too, and new ones are valid.
  const last = sessions.create(who);
  sessions.end(last);
  expect([first, last, kept].map((text) => sessions.principal(text))).toEqual(
    Array(3).fill(undefined),
  );
  now += 1;
  expect(sessions.principal(sessions.create(who))?.name).toBe('admin');
});

// A full list of ended sessions ends all open ones, so expired ones must make room first.
test('sessions that have expired make room for those that are ended', () => {
  let now = 1_000;
  const sessions = createSessions(TOKEN, tokens, () => now);
  const who = tokens.identify(TOKEN);
  if (!who) throw new Error('the token is not known');
  for (let i = 0; i < 10_000; i++) sessions.end(sessions.create(who));
  now += SESSION;
  const kept = sessions.create(who);
  const last = sessions.create(who);
  sessions.end(last);
  expect([sessions.principal(kept)?.name, sessions.principal(last)]).toEqual(['admin', undefined]);
});

test('a session ends after twelve hours', () => {
  let now = 1_000;
  const sessions = createSessions(TOKEN, tokens, () => now);
  const who = tokens.identify(TOKEN);
  if (!who) throw new Error('the token is not known');
  const value = sessions.create(who);
  now += SESSION - 1;
  expect(sessions.principal(value)).toEqual({ name: 'admin', scopes: ['admin'] });
  now += 1;
  expect(sessions.principal(value)).toBeUndefined();
});

test('a logout removes the cookies, and ends every copy of the session and no other', async () => {
  const own = await signIn(fixture.url);
  expect((await get('/dashboard/instances', { cookie: own })).status).toBe(200);
  const answer = await postForm(`${fixture.url}/dashboard/logout`, {}, { cookie: own });
  for (const path of INSIDE) expect((await get(path, { cookie: own })).status, path).toBe(401);
  expect((await get('/dashboard/instances', { cookie })).status).toBe(200);
  expect(answer.status).toBe(303);
  expect(answer.headers.getSetCookie()).toEqual([
    expect.stringMatching(
      /^ephemera-dashboard=; Path=\/dashboard; Max-Age=0; HttpOnly; SameSite=Strict$/,
    ),
  ]);
});

// A page of an instance on another port of this machine is same-site, so the browser sends the
// cookie. Only the origin distinguishes it.
test.each([
  ['from another port', { origin: 'http://127.0.0.1:8080' }],
  ['from another site', { origin: 'https://evil.example' }],
  ['from a sandboxed frame', { origin: 'null' }],
  ['without an origin', { origin: '' }],
  ['that the browser calls same-site', { 'sec-fetch-site': 'same-site' }],
  ['that the browser calls cross-site', { 'sec-fetch-site': 'cross-site' }],
])('a change requested %s is refused', async (_, headers) => {
  const { id } = await fixture.draftInstance();
  const answers = await Promise.all([
    postForm(`${fixture.url}/dashboard/instances/${id}/end`, {}, { cookie, ...headers }),
    postForm(`${fixture.url}/dashboard/login`, { token: TOKEN }, headers),
    postForm(`${fixture.url}/dashboard/logout`, {}, headers),
    fetch(`${fixture.url}/dashboard/queues/api/queues/pause`, {
      method: 'PUT',
      headers: { cookie, origin: 'http://x', ...headers },
    }),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403]);
  expect(await fixture.instances.get(id)).toMatchObject({ state: 'pending' });
});

test('a change from a page of the dashboard is accepted, with the metadata of a browser too', async () => {
  for (const headers of [
    { origin: fixture.url },
    { origin: '', 'sec-fetch-site': 'same-origin' },
  ]) {
    const { id } = await fixture.draftInstance();
    const answer = await postForm(
      `${fixture.url}/dashboard/instances/${id}/end`,
      {},
      { cookie, ...headers },
    );
    expect(answer.status).toBe(303);
  }
});

test('HEAD reads: it needs scope read, and no origin', async () => {
  const own = await signIn(fixture.url, READER);
  const answer = await fetch(`${fixture.url}/dashboard/instances`, {
    method: 'HEAD',
    headers: { cookie: own },
  });
  expect(answer.status).toBe(200);
});

test('a cookie of another name is no session', async () => {
  const value = cookie.split('=')[1] ?? '';
  for (const name of ['dashboard', 'ephemera-dashboard2', 'xephemera-dashboard', '']) {
    const headers = { cookie: `${name}=${value}` };
    expect((await get('/dashboard/instances', headers)).status, name).toBe(401);
  }
});

test('a program with the token needs no Origin', async () => {
  const { id } = await fixture.draftInstance();
  const answer = await fetch(`${fixture.url}/dashboard/instances/${id}/end`, {
    method: 'POST',
    headers: BEARER,
    redirect: 'manual',
  });
  expect(answer.status).toBe(303);
  expect(await fixture.instances.get(id)).toMatchObject({ state: 'gone', reason: 'request' });
});

test.each([
  '/healthz',
  '/dashboard/login',
  '/',
  '/nowhere',
  '/dashboard/instances',
  '/dashboard/queues',
  '/dashboard/queues/api/queues',
])('%s has the security headers', async (path) => {
  for (const headers of [{}, { cookie }]) {
    const answer = await get(path, headers);
    const policy = answer.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/script-src[^;]*unsafe|https?:|\*/);
    expect(answer.headers.get('x-frame-options')).toBe('DENY');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('cache-control')).toBe('no-store');
  }
});

test('malformed and oversized forms are refused, and end no instance', async () => {
  const send = (body: string, type = 'application/x-www-form-urlencoded') =>
    fetch(`${fixture.url}/dashboard/login`, {
      method: 'POST',
      headers: { origin: fixture.url, 'content-type': type },
      body,
    });
  expect((await send(`token=${'x'.repeat(10_000)}`)).status).toBe(413);
  expect((await send('token[]=x&token[a]=y&%%%')).status).toBe(400);
  expect((await send('{"token":1}', 'application/json')).status).toBe(415);
  expect((await get('/healthz')).status).toBe(200);
});

// A separate address, so that it uses up no other test's attempts.
test('wrong bearer tokens are throttled like wrong logins', async () => {
  const from = { 'x-forwarded-for': '203.0.113.77' };
  const statuses: number[] = [];
  for (let i = 0; i < 11; i++) {
    const wrong = { authorization: `Bearer a-wrong-token-of-some-length-${i}` };
    statuses.push((await get('/dashboard/instances', { ...wrong, ...from })).status);
  }
  expect(statuses).toEqual([...Array<number>(10).fill(401), 429]);
  expect((await get('/dashboard/instances', { ...BEARER, ...from })).status).toBe(429);
  expect((await postForm(`${fixture.url}/dashboard/login`, { token: TOKEN }, from)).status).toBe(
    429,
  );
  expect((await get('/dashboard/instances', { cookie, ...from })).status).toBe(200);
  expect((await get('/dashboard/instances', BEARER)).status).toBe(200);
});

// Last, because it uses up the attempts of this address.
test('guesses are throttled, and so is a right token then', async () => {
  const guess = (token: string) => postForm(`${fixture.url}/dashboard/login`, { token });
  let wrong = 0;
  let status = 401;
  while (status === 401 && wrong < 20) {
    status = (await guess('a-wrong-token-of-some-length')).status;
    wrong++;
  }
  expect(status).toBe(429);
  expect(wrong).toBeLessThanOrEqual(11);
  const refused = await guess(TOKEN);
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  // Bearer tokens share the limit.
  const bearer = await get('/dashboard/instances', BEARER);
  expect(bearer.status).toBe(429);
  expect(Number(bearer.headers.get('retry-after'))).toBeLessThanOrEqual(60);
  // An open session is not affected by guesses from the same address.
  expect((await get('/dashboard/instances', { cookie })).status).toBe(200);
});
