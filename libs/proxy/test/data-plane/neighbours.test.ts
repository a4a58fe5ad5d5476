import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { makeAccessToken } from '../../src/access/access-token.ts';
import { open, statusOf } from './raw.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// Instances below one domain are of one site: a browser sends the cookie that opens one along with
// what the page of another asks for. Such a page may lead to it, but not speak in its visitor's name.

const DOMAIN = 'inst.test';

let plain: Fixture;
/** Behind a balancer that speaks TLS and is believed, and behind one that says nothing. */
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

/** The status of the answer; the upstream answers 200 to a handshake too, where it is asked. */
async function ask(fixture: Fixture, method: string, host: string, lines: string, target = '/ws') {
  const raw = open(fixture.port);
  raw.send(`${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`);
  const answer = await raw.until(/\r\n\r\n/);
  raw.socket.destroy();
  return statusOf(answer);
}

/** What browsers say of where a request comes from. */
const says = (site: string, mode: string) =>
  `Sec-Fetch-Site: ${site}\r\nSec-Fetch-Mode: ${mode}\r\n`;
const from = (origin: string) => `Origin: ${origin}\r\n`;

const KINDS = [
  ['a WebSocket', 'GET', UPGRADE],
  ['a post', 'POST', 'Content-Length: 0\r\n'],
  ['a deletion', 'DELETE', ''],
  ['a script', 'GET', ''],
] as const;

test.each(KINDS)('%s of a neighbour’s page is refused', async (_, method, lines) => {
  const { own, cookie } = await guarded(plain);
  const other = (await guarded(plain)).own;
  for (const origin of [
    from(`http://${other}`),
    from(`http://${own}:81`),
    from(`https://${own}`),
    from(`http://${own}.x.example`),
    from('null'),
    says('same-site', 'no-cors'),
    says('cross-site', 'cors'),
    says('same-site', 'websocket') + from(`http://${other}`),
  ]) {
    expect(await ask(plain, method, own, lines + cookie + origin), origin).toBe(403);
  }
  expect(upstream.received).toBe('');
});

test('a form that a neighbour’s page posts is refused, in a window of its own too', async () => {
  const { own, cookie } = await guarded(plain);
  const lines = `Content-Length: 0\r\n${cookie}`;
  for (const site of ['same-site', 'cross-site']) {
    expect(await ask(plain, 'POST', own, lines + says(site, 'navigate'))).toBe(403);
  }
  expect(upstream.received).toBe('');
});

test.each(KINDS)('%s of its own page passes, and that of no browser', async (_, method, lines) => {
  const { own, cookie, token } = await guarded(plain);
  for (const said of [
    '',
    from(`http://${own}`),
    says('same-origin', 'cors'),
    says('same-origin', 'no-cors') + from('null'),
    says('none', 'navigate'),
  ]) {
    expect(await ask(plain, method, own, lines + cookie + said), said).toBe(200);
  }
  // Browsers write names small, whatever the Host.
  const loud = own.toUpperCase();
  expect(await ask(plain, method, loud, lines + cookie + from(`http://${own}`))).toBe(200);
  // A page that has the token itself needs no cookie for it.
  const header = `Ephemera-Token: ${token}\r\n${says('same-site', 'cors')}`;
  expect(await ask(plain, method, own, lines + header + from('http://x.example'))).toBe(200);
});

test('its page is known by the port of the domain, which a balancer may take off the Host', async () => {
  const fixture = await startFixture({ domain: `${DOMAIN}:8080` });
  const { own, cookie } = await guarded(fixture);
  const post = (host: string, origin: string) => ask(fixture, 'POST', host, cookie + from(origin));
  expect(await post(own, `http://${own}:8080`)).toBe(200);
  expect(await post(`${own}:8080`, `http://${own}:8080`)).toBe(200);
  expect(await post(own, `http://${own}:81`)).toBe(403);
  await fixture.stop();
});

test('a link to it may be anywhere', async () => {
  const { own, cookie } = await guarded(plain);
  for (const site of ['same-site', 'cross-site']) {
    for (const method of ['GET', 'HEAD']) {
      expect(await ask(plain, method, own, cookie + says(site, 'navigate'))).toBe(200);
    }
  }
});

test('its own origin is the one that visitors see, TLS before the proxy or not', async () => {
  const told = await guarded(behindTls);
  for (const [proto, origin, status] of [
    ['https', `https://${told.own}`, 200],
    ['wss', `https://${told.own}`, 200],
    ['https, http', `https://${told.own}`, 200],
    ['https', `http://${told.own}`, 403],
    ['http', `http://${told.own}`, 200],
    ['http', `https://${told.own}`, 403],
  ] as const) {
    const lines = `${UPGRADE}${told.cookie}X-Forwarded-Proto: ${proto}\r\n${from(origin)}`;
    expect(await ask(behindTls, 'GET', told.own, lines), `${proto} ${origin}`).toBe(status);
  }
  const assumed = await guarded(silentTls);
  for (const [scheme, status] of [
    ['https', 200],
    ['http', 403],
  ] as const) {
    // Of whoever is not believed what they say of the scheme is no matter.
    const lines = `${UPGRADE}${assumed.cookie}X-Forwarded-Proto: http\r\n${from(`${scheme}://${assumed.own}`)}`;
    expect(await ask(silentTls, 'GET', assumed.own, lines), scheme).toBe(status);
  }
});

// The limit that docs/SECURITY.md tells of: they are one origin.
test('in path form whose page asks is not looked at', async () => {
  const { id, cookie } = await guarded(byPath);
  const lines = UPGRADE + cookie + from('http://b.example');
  expect(await ask(byPath, 'GET', 'a.example', lines, `/demo/${id}/ws`)).toBe(200);
});
