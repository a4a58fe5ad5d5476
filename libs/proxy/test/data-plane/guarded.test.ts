import type { Endpoint, Route } from '@ephemera/domain';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { makeAccessToken } from '../../src/access/access-token.ts';
import { open, send, statusOf } from './raw.ts';
import { NO_NAMES, newGeneration, newId, type Fixture, startFixture } from './fixture.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// A guarded instance requires its token, and the proxy removes the token from forwarded requests.

let fixture: Fixture;
/** The same in host form, where each instance has its own origin. */
let hosted: Fixture;
let upstream: Upstream;
const used: string[] = [];

beforeAll(async () => {
  const use = (id: string) => void used.push(id);
  fixture = await startFixture({
    activity: { opened: use, closed: () => undefined, used: use },
    startWait: 300,
  });
  hosted = await startFixture({ domain: 'inst.test' });
  upstream = await startUpstream(answering(OK));
});
afterAll(async () => {
  await fixture.stop();
  await hosted.stop();
  await upstream.stop();
});
beforeEach(() => {
  for (const connection of upstream.connections) connection.received = '';
});

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const UPGRADE = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n`;

async function guarded(more: object = {}, where = fixture) {
  const { token, hash } = makeAccessToken();
  const id = await where.ready(upstream.port, { access: hash, ...more });
  return { id, token, hash };
}

const ask = (target: string, lines = '', host = 'a.example', method = 'GET') =>
  send(fixture.port, `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`);
const askHost = (id: string, target: string, lines = '') =>
  send(hosted.port, `GET ${target} HTTP/1.1\r\nHost: ${id}.inst.test\r\n${lines}\r\n`);
const header = (name: string, answer: string) =>
  [...answer.matchAll(new RegExp(`^${name}: (.*)\r$`, 'gim'))].map(([, value]) => value);
const bodyOf = (answer: string) => answer.slice(answer.indexOf('\r\n\r\n') + 4);

test('the header grants access, and is not forwarded under any name', async () => {
  const { id, token } = await guarded();
  const answer = await ask(
    `/demo/${id}/page`,
    `Ephemera-Token: ${token}\r\nEphemera_Token: ${token}\r\nAuthorization: Basic app\r\n`,
  );
  expect(statusOf(answer)).toBe(200);
  expect(upstream.received).toContain('GET /page HTTP/1.1');
  expect(upstream.received).toContain('Authorization: Basic app');
  expect(upstream.received).not.toContain(token);
  expect(upstream.received.toLowerCase()).not.toContain('ephemera');
});

test('the cookie grants access, and only the other cookies are forwarded', async () => {
  const { id, token } = await guarded();
  for (const name of ['ephemera-token', '__Host-ephemera-token']) {
    const answer = await ask(`/demo/${id}/`, `Cookie: a=1; ${name}=${token}; b=2\r\n`);
    expect(statusOf(answer)).toBe(200);
  }
  expect(upstream.received.match(/cookie: .*\r\n/gi)).toEqual(
    Array<string>(2).fill('Cookie: a=1; b=2\r\n'),
  );
  expect(upstream.received).not.toContain(token);
  const alone = await ask(`/demo/${id}/`, `Cookie: ephemera-token=${token}\r\n`);
  expect(statusOf(alone)).toBe(200);
  expect(upstream.received.match(/cookie:/gi)).toHaveLength(2);
});

/** As many cookies as fit into a header of 32 KiB. */
const manyCookies = (name: string, value: () => string) =>
  Array.from({ length: Math.floor(31_000 / (name.length + value().length + 3)) }, () => value())
    .map((text) => `${name}=${text}`)
    .join('; ');

// A page of another instance can set cookies for the parent domain, and browsers send those first.
test.each([
  ['eight wrong tokens', () => makeAccessToken().token, 8],
  ['a header full of wrong tokens', () => makeAccessToken().token, undefined],
  ['a header full of empty values', () => '', undefined],
  ['a header full of one value', () => 'x', undefined],
])('%s in cookies do not hide the right one', async (_what, value, count) => {
  for (const [planted, name] of [
    ['ephemera-token', 'ephemera-token'],
    ['ephemera-token', '__Host-ephemera-token'],
    ['__Host-ephemera-token', '__Host-ephemera-token'],
  ] as const) {
    const junk = manyCookies(planted, value).split('; ').slice(0, count).join('; ');
    const below = await guarded();
    const cookie = (token: string) => `Cookie: a=1; ${junk}; ${name}=${token}; b=2\r\n`;
    expect(statusOf(await ask(`/demo/${below.id}/`, cookie(below.token)))).toBe(200);
    const own = await guarded({}, hosted);
    expect(statusOf(await askHost(own.id, '/', cookie(own.token)))).toBe(200);
    expect(statusOf(await askHost(own.id, '/', cookie(below.token)))).toBe(403);
  }
  expect(upstream.received).toContain('Cookie: a=1; b=2\r\n');
  expect(upstream.received.toLowerCase()).not.toContain('ephemera');
});

test('a link becomes cookies for the instance’s paths and a URL without the token', async () => {
  const { id, token } = await guarded({ ports: { main: upstream.port, debug: 9229 } });
  const answer = await ask(`/demo/${id}/a%20b?x=1&ephemera-token=${token}&y=2`);
  expect(statusOf(answer)).toBe(303);
  expect(header('location', answer)).toEqual([`/demo/${id}/a%20b?x=1&y=2`]);
  const paths = [id, `-/${id}`, `${id}:main`, `${id}:debug`];
  expect(header('set-cookie', answer)).toEqual(
    paths.map((path) => `ephemera-token=${token}; Path=/demo/${path}; HttpOnly; SameSite=Lax`),
  );
  expect(header('cache-control', answer)).toEqual(['no-store']);
  expect(header('referrer-policy', answer)).toEqual(['no-referrer']);
  expect(header('x-content-type-options', answer)).toEqual(['nosniff']);
  // The redirect may be framed where the instance itself may be framed.
  expect(header('content-security-policy', answer).join()).toMatch(
    /^default-src 'none'; .*frame-ancestors \*$/,
  );
  expect(upstream.received).toBe('');
});

test('in host form the cookie applies to that host only; over TLS it has the __Host- prefix', async () => {
  const { id, token } = await guarded({}, hosted);
  const plain = await askHost(id, `/?ephemera-token=${token}`);
  expect(header('set-cookie', plain)).toEqual([
    `ephemera-token=${token}; Path=/; HttpOnly; SameSite=Lax`,
  ]);
  const behindTls = await startFixture({ domain: 'inst.test', scheme: 'https' });
  try {
    const other = makeAccessToken();
    const own = await behindTls.ready(upstream.port, { access: other.hash });
    const answer = await send(
      behindTls.port,
      `GET /?ephemera-token=${other.token} HTTP/1.1\r\nHost: ${own}.inst.test\r\n\r\n`,
    );
    expect(header('set-cookie', answer)).toEqual([
      `__Host-ephemera-token=${other.token}; Path=/; HttpOnly; SameSite=Lax; Secure`,
    ]);
  } finally {
    await behindTls.stop();
  }
});

// A Location of `//evil.example/` would lead a browser to another host.
test.each(['//evil.example/', '//evil.example//x', '/%2f/evil.example'])(
  'a link to %s stays on this host',
  async (path) => {
    const [below, own] = [await guarded(), await guarded({}, hosted)];
    const answers = [
      await ask(`/demo/${below.id}${path}?ephemera-token=${below.token}`),
      await askHost(own.id, `${path}?ephemera-token=${own.token}`),
    ];
    for (const answer of answers) {
      const [location = ''] = header('location', answer);
      expect(new URL(location, 'http://own.example/').host).toBe('own.example');
    }
  },
);

test('a link works only for GET, and is never forwarded', async () => {
  const { id, token } = await guarded();
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    const answer = await ask(`/demo/${id}/?ephemera-token=${token}`, '', 'a.example', method);
    expect(statusOf(answer), method).toBe(403);
  }
  // A wrong or repeated link is refused, even with a right header.
  const header = `Ephemera-Token: ${token}\r\n`;
  expect(statusOf(await ask(`/demo/${id}/?ephemera-token=x`, header))).toBe(403);
  const twice = `/demo/${id}/?ephemera-token=${token}&ephemera-token=${token}`;
  expect(statusOf(await ask(twice))).toBe(403);
  expect(upstream.received).toBe('');
});

test('the Referer with a link is not forwarded', async () => {
  const { id, token } = await guarded();
  await ask(
    `/demo/${id}/`,
    `Ephemera-Token: ${token}\r\nReferer: http://a.example/demo/${id}/?ephemera-token=${token}\r\n`,
  );
  expect(upstream.received).toContain('GET / HTTP/1.1');
  expect(upstream.received).not.toContain(token);
});

async function wrongOnes() {
  const { token } = await guarded();
  const other = await guarded();
  const right = await guarded();
  return {
    right,
    wrong: [
      `Ephemera-Token: ${other.token}\r\n`,
      `Ephemera-Token: ${token}\r\n`,
      `Ephemera-Token: ${right.hash}\r\n`,
      `Ephemera-Token: ${right.token.toLowerCase()}x\r\n`,
      `Ephemera-Token: ${right.token.slice(0, -1)}\r\n`,
      `Ephemera-Token: ${right.token}x\r\n`,
      `Ephemera-Token: ${right.token}\r\nEphemera-Token: ${right.token}\r\n`,
      'Ephemera-Token: \r\n',
      `Ephemera_Token: ${right.token}\r\n`,
      `Authorization: Bearer ${right.token}\r\n`,
      `Cookie: ephemera-token=${other.token}\r\n`,
      `Cookie: EPHEMERA-TOKEN=${right.token}\r\n`,
      `Cookie: xephemera-token=${right.token}\r\n`,
      `Cookie: ephemera-token="${right.token}"\r\n`,
      `X-Forwarded-Ephemera-Token: ${right.token}\r\n`,
    ],
  };
}

test('each wrong token is refused, and nothing is forwarded', async () => {
  const { right, wrong } = await wrongOnes();
  for (const lines of wrong) {
    expect(statusOf(await ask(`/demo/${right.id}/`, lines)), lines).toBe(403);
  }
  const own = await guarded({}, hosted);
  for (const lines of ['', ...wrong]) {
    expect(statusOf(await askHost(own.id, '/', lines)), lines).toBe(403);
  }
  expect(statusOf(await askHost(own.id, '/?ephemera-token=x'))).toBe(403);
  expect(upstream.received).toBe('');
  // Refused requests do not count as use.
  expect(used).not.toContain(right.id);
});

const dead = (state: 'gone' | 'draining' | 'failed', access?: string): Route => ({
  state,
  generation: newGeneration(),
  reason: 'ttl',
  message: 'the last line that it wrote',
  ...(access !== undefined && { access }),
});

test('a wrong token gets the same response for every state, unknown ids and unguarded ids', async () => {
  const { token, hash } = makeAccessToken();
  const wrong = makeAccessToken().token;
  const ids = new Map([['unknown', newId()]]);
  ids.set('ready', await fixture.ready(upstream.port, { access: hash }));
  const idOf = (name: string) => ids.get(name) ?? '';
  const put = async (name: string, route: Route) => {
    ids.set(name, newId());
    await fixture.put(idOf(name), route);
  };
  await put('pending', { state: 'pending', generation: newGeneration(), access: hash });
  await put('starting', { state: 'starting', generation: newGeneration(), access: hash });
  await put('gone', dead('gone', hash));
  await put('draining', dead('draining', hash));
  await put('failed', dead('failed', hash));
  await put('gone, not guarded', dead('gone'));
  await put('lost', { ...dead('gone'), access: '' });
  for (const lines of [`Ephemera-Token: ${wrong}\r\n`, `Cookie: ephemera-token=${wrong}\r\n`]) {
    const answers = new Map<string, string>();
    for (const [name, id] of ids) {
      const answer = await ask(`/demo/${id}/`, lines);
      answers.set(name, `${statusOf(answer)} ${bodyOf(answer)}`);
    }
    expect(new Set(answers.values())).toEqual(new Set([`403 {"kind":"access_denied"}`]));
  }
  // Without a token, a guarded instance responds the same in every state.
  for (const name of ['ready', 'pending', 'starting', 'gone', 'draining', 'failed', 'lost']) {
    expect(bodyOf(await ask(`/demo/${idOf(name)}/`)), name).toBe('{"kind":"access_denied"}');
  }
  expect(statusOf(await ask(`/demo/${idOf('unknown')}/`))).toBe(404);
  // The right token gets the reason.
  const text = await ask(`/demo/${idOf('gone')}/`, `Ephemera-Token: ${token}\r\n`);
  expect([statusOf(text), bodyOf(text)]).toEqual([410, expect.stringContaining('last line')]);
});

test('a lost hash denies every token, including an empty one', async () => {
  const id = await fixture.ready(upstream.port, { access: '' });
  for (const lines of ['', 'Ephemera-Token: \r\n', 'Cookie: ephemera-token=\r\n']) {
    expect(statusOf(await ask(`/demo/${id}/`, lines))).toBe(403);
  }
  expect(statusOf(await ask(`/demo/${id}/?ephemera-token=`))).toBe(403);
});

test('a WebSocket needs the token in a header or cookie, which are not forwarded', async () => {
  const { id, token } = await guarded();
  const shake = async (lines: string, query = '') => {
    const raw = open(fixture.port);
    raw.send(`GET /demo/${id}/ws${query} HTTP/1.1\r\nHost: a.example\r\n${UPGRADE}${lines}\r\n`);
    await raw.until(/\r\n\r\n/);
    const status = statusOf(raw.received);
    raw.socket.destroy();
    return status;
  };
  expect(await shake('')).toBe(403);
  expect(await shake('Ephemera-Token: wrong\r\n')).toBe(403);
  expect(await shake('', `?ephemera-token=${token}`)).toBe(403);
  expect(upstream.received).toBe('');
  // The upstream responds 200 instead of 101. That response shows that the request was forwarded.
  expect(await shake(`Ephemera-Token: ${token}\r\n`)).toBe(200);
  expect(await shake(`Cookie: a=1; ephemera-token=${token}\r\n`)).toBe(200);
  expect(upstream.received.match(/GET \/ws HTTP/g)).toHaveLength(2);
  expect(upstream.received).toContain('a=1');
  expect(upstream.received).not.toContain(token);
});

test('a request without the token does not resume a paused instance', async () => {
  const { token, hash } = makeAccessToken();
  const waits: string[] = [];
  const routes = {
    peek: (id: string) => fixture.routes.peek(id),
    find: (id: string) => fixture.routes.find(id),
    confirm: (id: string, host?: string) => fixture.routes.confirm(id, host),
    isRegistered: (host: string | undefined, endpoint: Endpoint) =>
      fixture.routes.isRegistered(host, endpoint),
    ...NO_NAMES,
    onDrop: () => undefined,
    waitFor: (...args: Parameters<typeof fixture.routes.waitFor>) => {
      waits.push(args[0]);
      return fixture.routes.waitFor(...args);
    },
  };
  const sleepy = await startFixture({ routes, startWait: 50 });
  try {
    const id = newId();
    await fixture.put(id, {
      state: 'paused',
      generation: newGeneration(),
      expiresAt: Date.now() + 60_000,
      resume: 'request',
      access: hash,
    });
    const get = (lines: string) =>
      send(sleepy.port, `GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`);
    expect(statusOf(await get(''))).toBe(403);
    expect(statusOf(await get('Ephemera-Token: wrong\r\n'))).toBe(403);
    expect(waits).toEqual([]);
    await get(`Ephemera-Token: ${token}\r\n`);
    expect(waits).toEqual([id]);
  } finally {
    await sleepy.stop();
  }
});

test('the waiting page requires the token', async () => {
  const shown: string[] = [];
  const waiting = await startFixture({
    waitingPage: (_req, res, id) => {
      shown.push(id);
      res.end('wait');
      return true;
    },
  });
  try {
    const { token, hash } = makeAccessToken();
    const id = newId();
    await waiting.put(id, { state: 'starting', generation: newGeneration(), access: hash });
    const get = (lines: string) =>
      send(waiting.port, `GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`);
    expect(statusOf(await get(''))).toBe(403);
    expect(shown).toEqual([]);
    expect(await get(`Ephemera-Token: ${token}\r\n`)).toContain('wait');
    expect(shown).toEqual([id]);
  } finally {
    await waiting.stop();
  }
});

test('requests with and without the token on one connection are distinguished', async () => {
  const { id, token } = await guarded();
  const raw = open(fixture.port);
  const get = (lines: string) => `GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`;
  raw.send(
    get(`Ephemera-Token: ${token}\r\n`) + get('') + get(`Cookie: ephemera-token=${token}\r\n`),
  );
  await waitFor('three answers', () => (raw.received.match(/HTTP\/1\.1 \d/g) ?? []).length === 3);
  expect(raw.received.match(/HTTP\/1\.1 (\d+)/g)).toEqual([
    'HTTP/1.1 200',
    'HTTP/1.1 403',
    'HTTP/1.1 200',
  ]);
  raw.socket.destroy();
});

describe('an instance that another site may embed', () => {
  const embed = ['https://host.example', 'https://b.example:8443'];
  const ANCESTORS = `frame-ancestors 'self' ${embed.join(' ')}`;
  const IFRAME =
    'Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n';

  test('gets a second cookie for a frame, in both forms', async () => {
    const { id, token } = await guarded({ embed });
    const answer = await ask(`/demo/${id}/?ephemera-token=${token}`, IFRAME);
    const paths = [id, `-/${id}`, `${id}:main`].map((path) => `Path=/demo/${path}`);
    const cookies = (attributes: string) =>
      paths.map((path) => `ephemera-token=${token}; ${path}; HttpOnly; ${attributes}`);
    expect(header('set-cookie', answer)).toEqual([
      ...cookies('SameSite=Lax'),
      ...cookies('SameSite=None; Secure; Partitioned'),
    ]);
    expect(header('content-security-policy', answer).join()).toContain(ANCESTORS);
    const own = await guarded({ embed }, hosted);
    const inHost = await askHost(own.id, `/?ephemera-token=${own.token}`, IFRAME);
    expect(header('set-cookie', inHost)[1]).toBe(
      `ephemera-token=${own.token}; Path=/; HttpOnly; SameSite=None; Secure; Partitioned`,
    );
  });

  test('gets no such cookie in a window of its own, nor without `embed`', async () => {
    const { id, token } = await guarded({ embed });
    const inWindow = IFRAME.replace('iframe', 'document');
    for (const [answer] of [
      [await ask(`/demo/${id}/?ephemera-token=${token}`, inWindow)],
      [
        await guarded().then((other) =>
          ask(`/demo/${other.id}/?ephemera-token=${other.token}`, IFRAME),
        ),
      ],
    ] as const) {
      expect(statusOf(answer)).toBe(303);
      expect(header('set-cookie', answer).join()).not.toContain('SameSite=None');
    }
  });

  test('tells browsers who may frame each of its responses', async () => {
    const { id, token } = await guarded({ embed });
    const shown = await ask(`/demo/${id}/`, `Ephemera-Token: ${token}\r\n`);
    expect(statusOf(shown)).toBe(200);
    expect(header('content-security-policy', shown)).toEqual([ANCESTORS]);
    const other = await guarded();
    const plain = await ask(`/demo/${other.id}/`, `Ephemera-Token: ${other.token}\r\n`);
    expect(header('content-security-policy', plain)).toEqual([]);
  });

  // Browsers without partitioned cookies send the second cookie with every request of every site.
  test.each([
    ['a subresource', 'Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n', 'GET', 403],
    ['fetch', 'Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n', 'GET', 403],
    ['a form', `${IFRAME}Origin: https://host.example\r\n`, 'POST', 403],
    ['a form over plain HTTP', 'Origin: http://evil.example\r\n', 'POST', 403],
    ['the frame itself', IFRAME, 'GET', 200],
    [
      'a page of the instance',
      'Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n',
      'GET',
      200,
    ],
    ['a form of the instance', 'Origin: http://a.example\r\n', 'POST', 200],
  ])('in path form, the cookie of %s is checked', async (_what, lines, method, status) => {
    const { id, token } = await guarded({ embed });
    const cookie = `Cookie: ephemera-token=${token}\r\n`;
    expect(statusOf(await ask(`/demo/${id}/`, cookie + lines, 'a.example', method))).toBe(status);
  });
});
