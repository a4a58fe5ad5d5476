import type { EndReason, Instance, Route } from '@ephemera/domain';
import { createAuthThrottle, createTokens, hashToken, MAX_INVALID_TOKENS } from '@ephemera/http';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { makeAccessToken } from '../../src/access/access-token.ts';
import { causeAccess } from '../../src/access/cause-access.ts';
import { failurePageWithRestart } from '../../src/failure-page.ts';
import { type Fixture, newGeneration, newId, startFixture } from './fixture.ts';
import { handshake } from './handshake.ts';
import { send, statusOf } from './raw.ts';
import { answering, startUpstream, type Upstream } from './upstream.ts';

// The instance fails each request. Its owner and the operator are told why, and nobody else.

const BOTH = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n';
const WHY = 'both Content-Length and Transfer-Encoding';
const HINT = { code: 'out_of_memory', text: 'It needs more memory.', cure: 'limits: {}' } as const;
const REASON = 'content_length_with_transfer_encoding';

const entry = (token: string, scope: 'read' | 'create') => ({
  hash: [hashToken(token)],
  scopes: [scope],
});

let fixture: Fixture;
let upstream: Upstream;
let address = '';
const EMBED = ['https://host.example', 'https://b.example:8443'];
/** Sites that may frame an instance, by its id. */
const embeds = new Map<string, string[]>();
/** Instances of another image than that of their template. */
const withOwnImage = new Set<string>();

beforeAll(async () => {
  // The page needs the routes of the fixture.
  const page: { send?: ReturnType<typeof failurePageWithRestart> } = {};
  fixture = await startFixture({ sendFailure: (...args) => page.send?.(...args) });
  const instances = {
    get: (id: string) =>
      Promise.resolve({
        ...{ id, owner: 'token:maker', hint: HINT },
        template: { name: '', embed: embeds.get(id), isImageNamed: withOwnImage.has(id) },
      } as Partial<Instance> as Instance),
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
    logArchive: {
      read: () =>
        Promise.resolve([
          { time: '2026-01-01T00:00:00.000000000Z', stream: 'stderr', text: 'a <secret> line\n' },
        ]),
    },
    mayReadCause,
    addressOf: () => address,
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

describe('an instance that has ended', () => {
  const { token, hash } = makeAccessToken();
  const ended = async (route: {
    state: 'gone' | 'failed';
    reason: EndReason;
    message: string;
    access?: string;
  }) => {
    const id = newId();
    await fixture.put(id, { ...route, generation: newGeneration() });
    return id;
  };
  const PRIVATE = 'pulling it failed: dial tcp 10.0.0.2:53: no such host registry.example';
  const OWNER = `Cookie: ephemera-token=${token}\r\n`;

  test('shows its last lines and a hint to its owner, and to no other visitor', async () => {
    const route = { state: 'gone', reason: 'exited', message: 'It exited with code 3.' } as const;
    const page = 'Accept: text/html\r\n';
    const visitor = await send(fixture.port, get(await ended(route), page));
    expect(statusOf(visitor)).toBe(410);
    expect(visitor).toContain('It exited with code 3.');
    expect(visitor).not.toMatch(/secret|more memory/);
    const id = await ended({ ...route, access: hash });
    const owner = await send(fixture.port, get(id, `${page}${OWNER}`));
    expect(statusOf(owner)).toBe(410);
    expect(owner).toContain('<pre>a &lt;secret&gt; line</pre>');
    expect(owner).toContain('It needs more memory.');
    expect(owner).toContain('<pre>limits: {}</pre>');
  });

  test.each(['Accept: text/html\r\n', ''])(
    'by a failed start has general words for visitors (%j)',
    async (accept) => {
      const route = { state: 'failed', reason: 'start_failed', message: PRIVATE } as const;
      const id = await ended(route);
      const visitor = await send(fixture.port, get(id, accept));
      expect(statusOf(visitor)).toBe(502);
      expect(visitor).toContain('could not be started');
      expect(visitor).toContain(`ephemera get ${id}`);
      expect(visitor).not.toMatch(/registry|10\.0\.0\.2|dial/);
      const guarded = await ended({ ...route, access: hash });
      const owner = await send(fixture.port, get(guarded, `${accept}${OWNER}`));
      expect(owner).toContain(PRIVATE);
      expect(owner).toContain('It needs more memory.');
    },
  );
});

describe('the page of an ended instance', () => {
  const page = 'Accept: text/html\r\n';
  const policyOf = (response: string) =>
    /^content-security-policy: (.*)\r$/im.exec(response)?.[1]?.split('; ') ?? [];
  const endedBy = async (message: string, access?: string) => {
    const id = newId();
    const route = { state: 'failed', reason: 'start_failed', message, access } as const;
    await fixture.put(id, { ...route, generation: newGeneration() });
    return id;
  };

  test('has no button where the button would start another image', async () => {
    const id = await endedBy('');
    withOwnImage.add(id);
    const response = await send(fixture.port, get(id, page));
    expect(response).toContain('<h1>This instance could not be started</h1>');
    expect(response).not.toContain('<button>');
  });

  test('may be framed by its own origin only while it has a button', async () => {
    const id = await endedBy('');
    const own = await send(fixture.port, get(id, page));
    expect(own).toContain('<button>Try again</button>');
    expect(own).toContain('<h1>This instance could not be started</h1>');
    expect(own).toContain('<p class="soft small">502 Start failed</p>');
    expect(policyOf(own)).toContain("frame-ancestors 'self'");
    expect(own).toContain('referrer-policy: same-origin');
    const framed = await send(fixture.port, get(id, `${page}Sec-Fetch-Dest: iframe\r\n`));
    expect(framed).not.toMatch(/<button|<form/);
    expect(policyOf(framed)).toContain('frame-ancestors *');
    expect(policyOf(framed)).toContain("form-action 'none'");
    expect(framed).toContain('referrer-policy: no-referrer');
    embeds.set(id, ['https://host.example']);
    for (const lines of [page, `${page}Sec-Fetch-Dest: iframe\r\n`]) {
      const response = await send(fixture.port, get(id, lines));
      expect(policyOf(response)).toContain("frame-ancestors 'self' https://host.example");
    }
  });

  test('shows every line of its message as text', async () => {
    const { token, hash } = makeAccessToken();
    const hostile = `<b>"&'</b>`;
    const id = await endedBy(`${hostile} first\n${hostile} second`, hash);
    const owner = `${page}Cookie: ephemera-token=${token}\r\n`;
    const response = await send(fixture.port, get(id, owner));
    const escaped = '&lt;b&gt;&quot;&amp;&#39;&lt;/b&gt;';
    expect(response).toContain(`${escaped} first</p>`);
    expect(response).toContain(`<pre>${escaped} second</pre>`);
    expect(response).not.toContain('<b>');
    // Nothing on the page could run anyway.
    expect(policyOf(response)).toContain("default-src 'none'");
    expect(policyOf(response).join()).not.toMatch(/script-src/);
  });
});

describe('the page of an instance that accepts no connection', () => {
  const page = 'Accept: text/html\r\n';
  const refreshOf = (response: string) => /^refresh: (\d+)\r$/im.exec(response)?.[1];
  const closing = async () => {
    const dead = await startUpstream(({ socket }) => socket.destroy());
    onTestFinished(() => dead.stop());
    return fixture.ready(dead.port);
  };

  test('reloads itself a few times, with growing delays', async () => {
    const id = await closing();
    const delays: (string | undefined)[] = [];
    for (let i = 0; i < 10; i++) delays.push(refreshOf(await send(fixture.port, get(id, page))));
    expect(delays).toEqual(['1', '2', '3', '5', '10', '20', '30', '30', undefined, undefined]);
    // Another visitor behind the same load balancer has reloads of their own.
    address = '192.0.2.9';
    expect(refreshOf(await send(fixture.port, get(id, page)))).toBe('1');
    // All addresses of an IPv6 subscriber share theirs.
    for (const [own, delay] of [
      ['2001:db8:1:2::1', '1'],
      ['2001:db8:1:2::2', '2'],
      ['2001:db8:1:3::1', '1'],
    ] as const) {
      address = own;
      expect(refreshOf(await send(fixture.port, get(id, page)))).toBe(delay);
    }
  });

  test('does not reload after a POST, for a script, or when the response is invalid', async () => {
    const id = await closing();
    const post = get(id, `${page}Content-Length: 0\r\n`).replace('GET', 'POST');
    expect(refreshOf(await send(fixture.port, post))).toBeUndefined();
    const script = `${page}Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n`;
    expect(refreshOf(await send(fixture.port, get(id, script)))).toBeUndefined();
    expect(refreshOf(await send(fixture.port, get(id)))).toBeUndefined();
    const invalid = await send(fixture.port, get(await fixture.ready(upstream.port), page));
    expect(statusOf(invalid)).toBe(502);
    expect(refreshOf(invalid)).toBeUndefined();
  });
});

// Without `embed`, a page without a button may be framed like the page of the instance.
test.each([
  ['an upstream failure', {}],
  ['a paused instance', { state: 'paused', resume: 'manual' }],
  ['a failed start', { state: 'failed', message: 'x' }],
  ['an ended instance', { state: 'gone', reason: 'exited' }],
] as const)('the page of %s names who may frame it', async (_what, change) => {
  for (const isEmbedded of [true, false]) {
    const id = await fixture.ready(upstream.port);
    if (isEmbedded) embeds.set(id, EMBED);
    if ('state' in change) {
      await fixture.put(id, { generation: newGeneration(), ...change } as Route);
    }
    const inFrame = 'Accept: text/html\r\nSec-Fetch-Dest: iframe\r\n';
    const response = await send(fixture.port, get(id, inFrame));
    expect(statusOf(response)).toBeGreaterThan(399);
    const ancestors = isEmbedded ? `'self' ${EMBED.join(' ')}` : '*';
    expect(response).toMatch(/^content-security-policy: /im);
    expect(response).toContain(`; frame-ancestors ${ancestors}\r\n`);
  }
});
