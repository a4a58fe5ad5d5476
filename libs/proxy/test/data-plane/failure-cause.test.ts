import type { Instance } from '@ephemera/domain';
import { createAuthThrottle, createTokens, hashToken, MAX_INVALID_TOKENS } from '@ephemera/http';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { makeAccessToken } from '../../src/access/access-token.ts';
import { causeAccess } from '../../src/access/cause-access.ts';
import { failurePageWithRestart } from '../../src/failure-page.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { handshake } from './handshake.ts';
import { send, statusOf } from './raw.ts';
import { answering, startUpstream, type Upstream } from './upstream.ts';

// The instance fails each request. Its owner and the operator are told why, and nobody else.

const BOTH = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n';
const WHY = 'both Content-Length and Transfer-Encoding';
const REASON = 'content_length_with_transfer_encoding';

const entry = (token: string, scope: 'read' | 'create') => ({
  hash: [hashToken(token)],
  scopes: [scope],
});

let fixture: Fixture;
let upstream: Upstream;
let address = '';

beforeAll(async () => {
  // The page needs the routes of the fixture.
  const page: { send?: ReturnType<typeof failurePageWithRestart> } = {};
  fixture = await startFixture({ sendFailure: (...args) => page.send?.(...args) });
  const instances = {
    get: (id: string) => Promise.resolve({ id, owner: 'token:maker' } as Instance),
  };
  const mayReadCause = causeAccess({
    routes: fixture.routes,
    instances,
    tokens: createTokens('the-admin', () => ({
      reader: entry('a-reader', 'read'),
      maker: entry('its-maker', 'create'),
      other: entry('another-maker', 'create'),
    })),
    authThrottle: createAuthThrottle(fixture.redis, fixture.keys.rate('auth')),
    addressOf: () => address,
  });
  page.send = failurePageWithRestart({
    prefix: 'demo',
    publicUrl: 'http://a.example',
    instances,
    templates: { current: { templates: new Map() } } as never,
    mayReadCause,
    logger: { warn: () => undefined },
  });
  upstream = await startUpstream(answering(BOTH));
});
afterAll(async () => {
  await upstream.stop();
  await fixture.stop();
});
afterEach(() => {
  address = '';
});

const get = (id: string, lines = '') =>
  `GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`;

test.each([
  ['the admin', 'the-admin'],
  ['a token of scope read', 'a-reader'],
  ['the token that started it', 'its-maker'],
])('%s sees the reason', async (_who, token) => {
  const id = await fixture.ready(upstream.port);
  const response = await send(fixture.port, get(id, `Ephemera-Token: ${token}\r\n`));
  expect(statusOf(response)).toBe(502);
  expect(response).toContain(WHY);
  expect(response).toContain(`"reason":"${REASON}"`);
});

test.each([
  ['a visitor', ''],
  ['a visitor who wants a page', 'Accept: text/html\r\n'],
  ['a token that started other instances', 'Ephemera-Token: another-maker\r\n'],
  ['an unknown token', 'Ephemera-Token: unknown\r\n'],
  ['a token in a cookie', 'Cookie: ephemera-token=the-admin\r\n'],
  ['a token for the application', 'Authorization: Bearer the-admin\r\n'],
])('%s does not see the reason', async (_who, lines) => {
  const id = await fixture.ready(upstream.port);
  const response = await send(fixture.port, get(id, lines));
  expect(statusOf(response)).toBe(502);
  expect(response).not.toContain('Transfer-Encoding');
  expect(response).not.toContain(REASON);
  // It says who can find out.
  expect(response).toContain(`ephemera get ${id}`);
});

test('a client that guesses is blocked, even with a valid token', async () => {
  address = '192.0.2.7';
  const id = await fixture.ready(upstream.port);
  for (let i = 0; i <= MAX_INVALID_TOKENS; i++) {
    await send(fixture.port, get(id, `Ephemera-Token: guess-${i}\r\n`));
  }
  const blocked = await send(fixture.port, get(id, 'Ephemera-Token: the-admin\r\n'));
  expect(statusOf(blocked)).toBe(502);
  expect(blocked).not.toContain(REASON);
});

test('the instance does not receive the token', async () => {
  const id = await fixture.ready(upstream.port);
  await send(fixture.port, get(id, 'Ephemera-Token: the-admin\r\nX-Sent: yes\r\n'));
  expect(upstream.received).toContain('X-Sent: yes');
  expect(upstream.received.toLowerCase()).not.toContain('ephemera-token');
});

test('the owner of a guarded instance sees it on the page, by the cookie of the link', async () => {
  const { token, hash } = makeAccessToken();
  const id = await fixture.ready(upstream.port, { access: hash });
  const page = get(id, `Accept: text/html\r\nCookie: ephemera-token=${token}\r\n`);
  const response = await send(fixture.port, page);
  expect(statusOf(response)).toBe(502);
  expect(response).toContain('<!doctype html>');
  expect(response).toContain(WHY);
  const stranger = await send(fixture.port, get(id, 'Accept: text/html\r\n'));
  expect(statusOf(stranger)).toBe(403);
  expect(stranger).not.toContain(WHY);
});

test('a failed handshake says it too', async () => {
  const id = await fixture.ready(upstream.port);
  const request = handshake(id).replace('\r\n', '\r\nEphemera-Token: the-admin\r\n');
  const response = await send(fixture.port, request);
  expect(statusOf(response)).toBe(502);
  expect(response).toContain('"reason":"invalid_response"');
});
