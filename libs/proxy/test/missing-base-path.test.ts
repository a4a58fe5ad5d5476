import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { Failure, Instance } from '@ephemera/domain';
import { newId } from '@ephemera/domain';
import { listen } from '@ephemera/process';
import { keysOf } from '@ephemera/store';
import { sampleTemplate, waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { makeAccessToken } from '../src/access/access-token.ts';
import { createPublicServer } from '../src/data-plane/public-server.ts';
import { type MissingBasePathOptions, missingBasePath } from '../src/missing-base-path.ts';
import { startFixture } from './data-plane/fixture.ts';
import { handshake } from './data-plane/handshake.ts';
import { open, send, statusOf } from './data-plane/raw.ts';
import { answering, OK, startUpstream } from './data-plane/upstream.ts';
import { BEARER, type OpenPorts, openPorts } from './open-ports.ts';

// An application that does not know its base path asks for `/static/…` at the root. The 404 says so;
// the owner and the operator find a warning. A stranger can neither learn nor write anything.

let ports: OpenPorts;
beforeAll(async () => {
  ports = await openPorts('templates: { demo: { image: ephemera/demo, port: 8080 } }');
});
afterAll(() => ports.stop());
afterEach(() => ports.clear());

const ID = 'abcdefghijklmnopqrstuvwxyz';
const origin = () => new URL(ports.publicUrl).origin;
const pageOf = (id: string, below = '') => `${origin()}/demo/${id}/${below}`;

async function get(path: string, headers: Record<string, string>, method = 'GET') {
  const response = await fetch(`${ports.publicUrl}${path}`, { headers, method });
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    body: await response.text(),
  };
}

async function warningsOf(id: string): Promise<{ kind: string; detail: string }[] | undefined> {
  const response = await fetch(`${ports.adminUrl}/v1/instances/${id}`, { headers: BEARER });
  return ((await response.json()) as { warnings?: { kind: string; detail: string }[] }).warnings;
}

const warnings = () => ports.redis.keys('*:warning:*');
/** Waits for what earlier requests cause in Redis: at most three commands, one after the other. */
const settle = async () => {
  await get('/nothing', {});
  for (let i = 0; i < 10; i++) await ports.redis.ping();
};

describe('the response explains the cause', () => {
  test('to a program, as a problem', async () => {
    const { status, type, body } = await get('/static/app.js', { referer: pageOf(ID) });
    expect(status).toBe(404);
    expect(type).toBe('application/problem+json');
    const problem = JSON.parse(body) as { type: string; detail: string };
    expect(problem.type).toBe('urn:ephemera:problem:missing_base_path');
    for (const cure of ['stripPrefix: false', '{basePath}', 'EPHEMERA_DOMAIN']) {
      expect(problem.detail).toContain(cure);
    }
  });

  test('to a navigation, as a page', async () => {
    const { status, type, body } = await get('/login', {
      referer: pageOf(ID),
      accept: 'text/html,*/*',
    });
    expect(status).toBe(404);
    expect(type).toContain('text/html');
    expect(body).toContain('EPHEMERA_DOMAIN');
  });

  test.each<[string, string, () => Record<string, string>]>([
    ['a port of an instance', '/x', () => ({ referer: `${origin()}/demo/${ID}:api/` })],
    ['a page of a name', '/x', () => ({ referer: pageOf('@pr-1') })],
    ['a port of a name', '/x', () => ({ referer: pageOf('@pr-1:api') })],
    ['a page below', '/x', () => ({ referer: pageOf(ID, 'a/b?c=/demo/new') })],
    ['a post of a form', '/login', () => ({ referer: pageOf(ID) })],
    ['a relative path that is too long', '/demo/static/x', () => ({ referer: pageOf(ID) })],
    ['only the origin', '/x.css', () => ({ referer: `${origin()}/` })],
    ['the configured name', '/x.css', () => ({ referer: `http://127.0.0.1/demo/${ID}/` })],
    [
      'no Referer, by Fetch Metadata',
      '/x.js',
      () => ({ 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'no-cors' }),
    ],
  ])('for %s', async (_name, path, headers) => {
    const { status, body } = await get(path, headers(), path === '/login' ? 'POST' : 'GET');
    expect(status).toBe(404);
    expect(body).toContain('missing_base_path');
  });

  test.each<[string, string, () => Record<string, string>]>([
    ['no page at all', '/x', () => ({})],
    ['a page of another host', '/x', () => ({ referer: `http://evil.example/demo/${ID}/` })],
    ['a page of another port', '/x', () => ({ referer: `http://127.0.0.1:1/demo/${ID}/` })],
    [
      'a page of another site that says so',
      '/x',
      () => ({ referer: pageOf(ID), 'sec-fetch-site': 'cross-site' }),
    ],
    ['a page that is no instance', '/x', () => ({ referer: `${origin()}/demo/new` })],
    ['a name that is none', '/x', () => ({ referer: pageOf('@a--b') })],
    ['an id that is none', '/x', () => ({ referer: `${origin()}/demo/${ID}x/` })],
    ['a Referer that is no URL', '/x', () => ({ referer: '/demo/' })],
    ['the icon that browsers ask for', '/favicon.ico', () => ({ referer: pageOf(ID) })],
    ['what developer tools ask for', '/.well-known/x.json', () => ({ referer: pageOf(ID) })],
    [
      'an address that a visitor types',
      '/x',
      () => ({ 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }),
    ],
  ])('not for %s', async (_name, path, headers) => {
    const { status, body } = await get(path, headers());
    expect(status).toBe(404);
    expect(body).not.toContain('missing_base_path');
  });

  test('what exists at the root is not affected', async () => {
    expect((await get('/', { referer: pageOf(ID) })).status).toBe(200);
  });
});

describe('the warning', () => {
  test('appears in the API once, whatever the number of requests, and once a template in the log', async () => {
    const ids = [await ports.startInstance(), await ports.startInstance()];
    for (const id of ids) {
      await Promise.all(
        Array.from({ length: 20 }, (_, i) => get(`/static/${i}.js`, { referer: pageOf(id) })),
      );
      await waitFor('the warning', async () => (await warningsOf(id))?.length === 1);
      const [warning] = (await warningsOf(id)) ?? [];
      expect(warning?.kind).toBe('missing_base_path');
      expect(warning?.detail).toMatch(/"\/static\/\d+\.js".*stripPrefix: false.*EPHEMERA_DOMAIN/);
    }
    expect(await warnings()).toHaveLength(2);
    expect(ports.warned).toHaveLength(1);
  });

  test('is written for the instance to which a name leads', async () => {
    const id = await ports.startInstance();
    const route = JSON.stringify({ state: 'name', generation: 1, id });
    await ports.redis.set(keysOf('ports').route('@pr-1'), route);
    await get('/x', { referer: pageOf('@no-such-name') });
    await get('/x', { referer: pageOf('@pr-1') });
    await waitFor('the warning', async () => (await warningsOf(id))?.length === 1);
    expect(await warnings()).toHaveLength(1);
  });

  test('is not written for an unknown id, an ended instance, or a favicon', async () => {
    const ended = await ports.startInstance();
    await ports.instances
      .startDraining(ended, { kind: 'end', reason: 'request' } as never)
      .catch(() => undefined);
    const alive = await ports.startInstance();
    await get('/x', { referer: pageOf(ended) });
    await get('/x', { referer: pageOf(newId(randomBytes)) });
    await get('/favicon.ico', { referer: pageOf(alive) });
    await settle();
    expect(await warnings()).toEqual([]);
  });

  test('is written for a guarded instance only by a client that opens it', async () => {
    const { token, hash } = makeAccessToken();
    const id = await ports.startInstance({
      template: sampleTemplate({ access: 'token' }),
      accessHash: hash,
    });
    const stranger = await get('/x', { referer: pageOf(id) });
    const unknown = await get('/x', { referer: pageOf(ID) });
    // It discloses nothing: the response is that of an unknown id.
    expect(stranger).toEqual(unknown);
    await get('/x', { referer: pageOf(id), 'ephemera-token': 'wrong' });
    await settle();
    expect(await warnings()).toEqual([]);
    await get('/x', { referer: pageOf(id), 'ephemera-token': token });
    await waitFor('the warning', async () => (await warningsOf(id))?.length === 1);
  });
});

test('with a domain there is no path form, so there is nothing to explain', async () => {
  const explain = missingBasePath({
    prefix: 'demo',
    publicUrl: 'http://a.example',
    domain: 'a.example',
  } as MissingBasePathOptions);
  const answers: (Failure | undefined)[] = [];
  const server = createServer((req, res) => {
    answers.push(explain(req));
    res.end();
  });
  const port = await listen(server, { host: '127.0.0.1', port: 0 });
  onTestFinished(() => void server.close());
  await send(
    port,
    `GET /x HTTP/1.1\r\nHost: a.example\r\nReferer: http://a.example/demo/${ID}/\r\nConnection: close\r\n\r\n`,
  );
  expect(answers).toEqual([undefined]);
});

test('a guarded instance counts as opened by the connection that opened it; a WebSocket is explained by its origin', async () => {
  const saved: string[] = [];
  const context: { explain?: ReturnType<typeof missingBasePath> } = {};
  const fixture = await startFixture({ explainNotFound: (req) => context.explain?.(req) });
  onTestFinished(() => fixture.stop());
  const upstream = await startUpstream(answering(OK));
  onTestFinished(() => upstream.stop());
  context.explain = missingBasePath({
    prefix: 'demo',
    publicUrl: 'http://a.example',
    domain: undefined,
    routes: fixture.routes,
    instances: { get: () => Promise.resolve({ template: { name: 'x' } } as Instance) },
    report: { isDue: () => true, save: (id) => void saved.push(id) },
    logger: { warn: () => undefined, debug: () => undefined },
  });
  const server = createPublicServer(fixture.dataPlane, (req, res) => {
    context.explain?.(req);
    res.writeHead(404, { 'content-length': 0 }).end();
  });
  const port = await listen(server, { host: '127.0.0.1', port: 0 });
  onTestFinished(() => void server.close());

  const { token, hash } = makeAccessToken();
  const id = await fixture.ready(upstream.port, { access: hash });
  const root = `GET /x.js HTTP/1.1\r\nHost: a.example\r\nReferer: http://a.example/demo/${id}/\r\n\r\n`;
  const stranger = open(port);
  stranger.send(root);
  await stranger.until(/404/);
  stranger.socket.destroy();

  const visitor = open(port);
  visitor.send(
    `GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\nCookie: ephemera-token=${token}\r\n\r\n`,
  );
  await visitor.until(/ok$/);
  expect(saved).toEqual([]);
  visitor.send(root);
  await visitor.until(/404/);
  await waitFor('the warning', () => saved.length === 1);
  expect(saved).toEqual([id]);
  visitor.socket.destroy();

  const upgrade = (from: string) =>
    handshake(id)
      .replace(/^GET \S+/, 'GET /socket')
      .replace(/Host: \S+/i, 'Host: a.example')
      .replace('\r\n\r\n', `\r\nOrigin: ${from}\r\n\r\n`);
  const own = await send(port, upgrade('http://a.example'));
  expect(own).toContain('missing_base_path');
  const foreign = await send(port, upgrade('http://b.example'));
  expect(foreign).toContain('not_found');
  expect(statusOf(foreign)).toBe(404);
});
