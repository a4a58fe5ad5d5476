import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { makeAccessToken } from '../../src/access/access-token.ts';
import { open, statusOf } from './raw.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// Instances below one domain are same-site, so a browser sends the access cookie of one with
// requests from the pages of another. Such a page may link to the instance, but must not send
// requests in the visitor's name.

const DOMAIN = 'inst.test';

let plain: Fixture;
/** Behind a trusted load balancer that terminates TLS, and without forwarded fields. */
let behindTls: Fixture;
let silentTls: Fixture;
let byPath: Fixture;
let upstream: Upstream;

beforeAll(async () => {
  plain = await startFixture({ domain: DOMAIN });
  behindTls = await startFixture({ domain: DOMAIN, trustedProxies: ['127.0.0.1'] });
  silentTls = await startFixture({ domain: DOMAIN, scheme: 'https' });
  byPath = await startFixture();
  upstream = await startUpstream(answering(OK));
});
afterAll(async () => {
  for (const fixture of [plain, behindTls, silentTls, byPath]) await fixture.stop();
  await upstream.stop();
});
beforeEach(() => {
  for (const connection of upstream.connections) connection.received = '';
});

const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';

async function guarded(fixture: Fixture) {
  const { token, hash } = makeAccessToken();
  const id = await fixture.ready(upstream.port, { access: hash });
  return { id, own: `${id}.${DOMAIN}`, cookie: `Cookie: ephemera-token=${token}\r\n`, token };
}

/** Returns the status of the response. The upstream responds 200 to a forwarded handshake too. */
async function ask(fixture: Fixture, method: string, host: string, lines: string, target = '/ws') {
  const raw = open(fixture.port);
  raw.send(`${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`);
  const answer = await raw.until(/\r\n\r\n/);
  raw.socket.destroy();
  return statusOf(answer);
}

/** The Fetch Metadata fields of a request. */
const fetchMetadata = (site: string, mode: string) =>
  `Sec-Fetch-Site: ${site}\r\nSec-Fetch-Mode: ${mode}\r\n`;
const from = (origin: string) => `Origin: ${origin}\r\n`;

const KINDS = [
  ['a WebSocket', 'GET', UPGRADE],
  ['a post', 'POST', 'Content-Length: 0\r\n'],
  ['a deletion', 'DELETE', ''],
  ['a script', 'GET', ''],
] as const;

test.each(KINDS)('%s of another instance’s page is refused', async (_, method, lines) => {
  const { own, cookie } = await guarded(plain);
  const other = (await guarded(plain)).own;
  for (const origin of [
    from(`http://${other}`),
    from(`http://${own}:81`),
    from(`https://${own}`),
    from(`http://${own}.x.example`),
    from('null'),
    fetchMetadata('same-site', 'no-cors'),
    fetchMetadata('cross-site', 'cors'),
    fetchMetadata('same-site', 'websocket') + from(`http://${other}`),
  ]) {
    expect(await ask(plain, method, own, lines + cookie + origin), origin).toBe(403);
  }
  expect(upstream.received).toBe('');
});

test('a form post from another instance’s page is refused, also in a new window', async () => {
  const { own, cookie } = await guarded(plain);
  const lines = `Content-Length: 0\r\n${cookie}`;
  for (const site of ['same-site', 'cross-site']) {
    expect(await ask(plain, 'POST', own, lines + fetchMetadata(site, 'navigate'))).toBe(403);
  }
  expect(upstream.received).toBe('');
});

test.each(KINDS)(
  '%s of its own page passes, and so does a request without browser fields',
  async (_, method, lines) => {
    const { own, cookie, token } = await guarded(plain);
    for (const forwarded of [
      '',
      from(`http://${own}`),
      fetchMetadata('same-origin', 'cors'),
      fetchMetadata('same-origin', 'no-cors') + from('null'),
      fetchMetadata('none', 'navigate'),
    ]) {
      expect(await ask(plain, method, own, lines + cookie + forwarded), forwarded).toBe(200);
    }
    // Browsers send Origin in lower case, whatever the Host.
    const loud = own.toUpperCase();
    expect(await ask(plain, method, loud, lines + cookie + from(`http://${own}`))).toBe(200);
    // A page that has the token itself does not need the cookie.
    const header = `Ephemera-Token: ${token}\r\n${fetchMetadata('same-site', 'cors')}`;
    expect(await ask(plain, method, own, lines + header + from('http://x.example'))).toBe(200);
  },
);

test('its origin includes the port of the domain, even if a balancer removed it from Host', async () => {
  const fixture = await startFixture({ domain: `${DOMAIN}:8080` });
  const { own, cookie } = await guarded(fixture);
  const post = (host: string, origin: string) => ask(fixture, 'POST', host, cookie + from(origin));
  expect(await post(own, `http://${own}:8080`)).toBe(200);
  expect(await post(`${own}:8080`, `http://${own}:8080`)).toBe(200);
  expect(await post(own, `http://${own}:81`)).toBe(403);
  await fixture.stop();
});

test('any page may link to it', async () => {
  const { own, cookie } = await guarded(plain);
  for (const site of ['same-site', 'cross-site']) {
    for (const method of ['GET', 'HEAD']) {
      expect(await ask(plain, method, own, cookie + fetchMetadata(site, 'navigate'))).toBe(200);
    }
  }
});

test('its origin is the one that visitors see, with or without TLS in front of the proxy', async () => {
  const reported = await guarded(behindTls);
  for (const [proto, origin, status] of [
    ['https', `https://${reported.own}`, 200],
    ['wss', `https://${reported.own}`, 200],
    ['https, http', `https://${reported.own}`, 200],
    ['https', `http://${reported.own}`, 403],
    ['http', `http://${reported.own}`, 200],
    ['http', `https://${reported.own}`, 403],
  ] as const) {
    const lines = `${UPGRADE}${reported.cookie}X-Forwarded-Proto: ${proto}\r\n${from(origin)}`;
    expect(await ask(behindTls, 'GET', reported.own, lines), `${proto} ${origin}`).toBe(status);
  }
  const assumed = await guarded(silentTls);
  for (const [scheme, status] of [
    ['https', 200],
    ['http', 403],
  ] as const) {
    // The scheme of an untrusted peer is ignored.
    const lines = `${UPGRADE}${assumed.cookie}X-Forwarded-Proto: http\r\n${from(`${scheme}://${assumed.own}`)}`;
    expect(await ask(silentTls, 'GET', assumed.own, lines), scheme).toBe(status);
  }
});

// A limit that docs/SECURITY.md states: in path form all instances share one origin.
test('in path form the requesting page is not checked', async () => {
  const { id, cookie } = await guarded(byPath);
  const lines = UPGRADE + cookie + from('http://b.example');
  expect(await ask(byPath, 'GET', 'a.example', lines, `/demo/${id}/ws`)).toBe(200);
});
