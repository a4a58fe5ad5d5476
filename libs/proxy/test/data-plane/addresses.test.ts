import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { makeAccessToken } from '../../src/access/access-token.ts';
import { open, send, statusOf } from './raw.ts';
import { type Fixture, newGeneration, newId, readyRoute, startFixture } from './fixture.ts';
import { handshake, SWITCH } from './handshake.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// An instance knows its own address, the visitor another one. The proxy translates both ways, once.

const DOMAIN = 'demos.example';
const TLS = 'X-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\n';

let byPath: Fixture;
let byHost: Fixture;
let below: Fixture;
const upstreams: Upstream[] = [];

beforeAll(async () => {
  byPath = await startFixture({ trustedProxies: ['127.0.0.1'] });
  byHost = await startFixture({
    domain: `${DOMAIN}:8443`,
    scheme: 'https',
    trustedProxies: ['127.0.0.1'],
  });
  below = await startFixture({ publicPath: '/outer/', scheme: 'https' });
});
afterAll(async () => {
  for (const fixture of [byPath, byHost, below]) await fixture.stop();
});
afterEach(async () => {
  for (const upstream of upstreams.splice(0)) await upstream.stop();
});

async function start(answer: string | ((port: number) => string), port = 0): Promise<Upstream> {
  let bytes = '';
  const upstream = await startUpstream(
    (connection, chunk) => {
      answering(bytes)(connection, chunk);
    },
    undefined,
    port,
  );
  bytes = typeof answer === 'string' ? answer : answer(upstream.port);
  upstreams.push(upstream);
  return upstream;
}

const redirect = (...fields: string[]) =>
  `HTTP/1.1 302 Found\r\n${fields.map((field) => `${field}\r\n`).join('')}Content-Length: 0\r\n\r\n`;
const get = (target: string, lines = '', host = 'a.example:8080') =>
  `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`;
const fieldIn = (head: string, name: string) =>
  new RegExp(`^${name}: (.*)\r$`, 'im').exec(head)?.[1];

describe('the address of the instance in a response', () => {
  test('in path form: below the prefix, whichever port and scheme the application knows', async () => {
    for (const own of [
      () => 'http://a.example/x',
      () => 'https://A.example:8080/x',
      () => '//a.example/x',
      (port: number) => `http://a.example:${port}/x`,
      (port: number) => `http://127.0.1.1:${port}/x`,
      () => '/x',
    ]) {
      const upstream = await start((port) => redirect(`Location: ${own(port)}`));
      const id = await byPath.ready(upstream.port);
      const answer = await send(byPath.port, get(`/demo/${id}/`));
      expect(fieldIn(answer, 'location')).toBe(`/demo/${id}/x`);
    }
  });

  test('in host form: the scheme, host and port of the visitor', async () => {
    const id = newId();
    const own = `${id}.${DOMAIN}`;
    const upstream = await start((port) =>
      redirect(
        `Location: http://${own}/x`,
        `Content-Location: http://127.0.1.1:${port}/y`,
        `Link: <http://${own}:${port}/a,b>; rel=next, </c>; rel=x`,
        'X-Own: /',
      ),
    );
    await byHost.put(id, { ...readyRoute(upstream.port), generation: newGeneration() });
    // The load balancer has removed the port from the Host.
    for (const [lines, host, origin] of [
      ['', own, `https://${own}:8443`],
      [TLS.replace('a.example', own), own, `https://${own}:8443`],
      ['X-Forwarded-Port: 444\r\n', own, `https://${own}:444`],
      ['X-Forwarded-Proto: http\r\n', own, `http://${own}`],
      ['X-Forwarded-Proto: http\r\n', `${own}:8080`, `http://${own}:8080`],
      ['X-Forwarded-Host: custom.example\r\n', own, 'https://custom.example'],
    ] as const) {
      const answer = await send(byHost.port, get('/start', lines, host));
      expect(fieldIn(answer, 'location')).toBe(`${origin}/x`);
      expect(fieldIn(answer, 'content-location')).toBe(`${origin}/y`);
      expect(fieldIn(answer, 'link')).toBe(`<${origin}/a,b>; rel=next, </c>; rel=x`);
    }
  });

  test('fields with references, also in early hints; other sites stay', async () => {
    const fields = 'Link: </a.css>; rel=preload, <https://cdn.example/b.css>; rel=preload\r\n';
    const upstream = await start(
      `HTTP/1.1 103 Early Hints\r\n${fields}\r\nHTTP/1.1 200 OK\r\n${fields}` +
        'Refresh: 5; url="/next"\r\nContent-Location: /x\r\nSourceMap: /x.map\r\n' +
        'X-SourceMap: https://cdn.example/x.map\r\nContent-Length: 2\r\n\r\nok',
    );
    const id = await byPath.ready(upstream.port);
    const pre = `/demo/${id}`;
    const answer = await send(byPath.port, get(`${pre}/`));
    const link = `Link: <${pre}/a.css>; rel=preload, <https://cdn.example/b.css>; rel=preload\r\n`;
    expect(answer.split(link)).toHaveLength(3);
    expect(answer).toContain(`Refresh: 5; url="${pre}/next"\r\n`);
    expect(answer).toContain(`Content-Location: ${pre}/x\r\n`);
    expect(answer).toContain(`SourceMap: ${pre}/x.map\r\n`);
    expect(answer).toContain('X-SourceMap: https://cdn.example/x.map\r\n');
  });

  test('a refused WebSocket is translated too', async () => {
    const upstream = await start(redirect('Location: http://a.example/login'));
    const id = await byPath.ready(upstream.port);
    const answer = await send(byPath.port, handshake(id, 'ws'));
    expect(fieldIn(answer, 'location')).toBe(`/demo/${id}/login`);
  });
});

describe('an outer prefix', () => {
  const outer = `${TLS}X-Forwarded-Prefix: /outer/\r\n`;

  test('that a trusted balancer sends is put before the prefix, once', async () => {
    for (const path of [
      '/x',
      '/outer/demo/ID/x',
      '/demo/ID/x',
      'http://a.example/x',
      'http://a.example/outer/demo/ID/x',
    ]) {
      const id = newId();
      const upstream = await start(
        redirect(
          `Location: ${path.replace('ID', id)}`,
          `Set-Cookie: a=1; Path=${path.startsWith('/') ? path.replace('ID', id) : '/x'}`,
        ),
      );
      await byPath.put(id, { ...readyRoute(upstream.port), generation: newGeneration() });
      const answer = await send(byPath.port, get(`/demo/${id}/`, outer));
      expect(fieldIn(answer, 'location')).toBe(`/outer/demo/${id}/x`);
      expect(fieldIn(answer, 'set-cookie')).toBe(`a=1; Path=/outer/demo/${id}/x`);
      expect(fieldIn(upstream.received, 'x-forwarded-prefix')).toBe(`/outer/demo/${id}`);
    }
  });

  test('is in the redirect to the slash', async () => {
    const id = await byPath.ready((await start(OK)).port);
    const answer = await send(byPath.port, get(`/demo/${id}?a`, outer));
    expect(statusOf(answer)).toBe(308);
    expect(fieldIn(answer, 'location')).toBe(`/outer/demo/${id}/?a`);
  });

  test('is in the redirect and the cookies of an access link', async () => {
    const { token, hash } = makeAccessToken();
    const id = await below.ready((await start(OK)).port, { access: hash });
    const link = await send(below.port, get(`/demo/${id}/a?ephemera-token=${token}`));
    expect(statusOf(link)).toBe(303);
    expect(fieldIn(link, 'location')).toBe(`/outer/demo/${id}/a`);
    expect(link).toContain(`ephemera-token=${token}; Path=/outer/demo/${id};`);
  });

  test('that names another host, or comes from a stranger, is ignored', async () => {
    const upstream = await start(redirect('Location: /x'));
    for (const [fixture, prefix, before] of [
      [byPath, '//evil.example', ''],
      [byPath, 'https://evil.example', ''],
      [below, '/evil', '/outer'],
    ] as const) {
      const id = await fixture.ready(upstream.port);
      const answer = await send(
        fixture.port,
        get(`/demo/${id}/`, `X-Forwarded-Prefix: ${prefix}\r\n`),
      );
      expect(fieldIn(answer, 'location')).toBe(`${before}/demo/${id}/x`);
      expect(upstream.received).not.toContain('evil');
    }
  });

  test('of the public URL: the application and the visitor get it', async () => {
    const upstream = await start(redirect('Location: /x', 'Set-Cookie: a=1; Path=/'));
    const id = await below.ready(upstream.port);
    const answer = await send(below.port, get(`/demo/${id}/a`));
    expect(upstream.requests).toEqual(['GET /a HTTP/1.1']);
    expect(fieldIn(upstream.received, 'x-forwarded-prefix')).toBe(`/outer/demo/${id}`);
    expect(fieldIn(answer, 'location')).toBe(`/outer/demo/${id}/x`);
    expect(fieldIn(answer, 'set-cookie')).toBe(`a=1; Path=/outer/demo/${id}/`);
  });

  test('of the public URL is in the path of an instance that keeps its base path', async () => {
    const upstream = await start(redirect('Location: /x'));
    const id = await below.ready(upstream.port, { stripPrefix: false });
    const answer = await send(below.port, get(`/demo/${id}/a?b`));
    expect(upstream.requests).toEqual([`GET /outer/demo/${id}/a?b HTTP/1.1`]);
    expect(upstream.received).not.toContain('x-forwarded-prefix');
    expect(fieldIn(answer, 'location')).toBe(`/outer/demo/${id}/x`);
  });
});

describe('an instance that keeps the prefix', () => {
  // Next.js with a basePath redirects `/demo/{id}/` to `/demo/{id}`: a redirect back would loop.
  test('decides about the slash by itself', async () => {
    const upstream = await start(OK);
    const id = await byPath.ready(upstream.port, { stripPrefix: false });
    // The route of the first request is not in memory.
    for (let i = 0; i < 2; i++) {
      const answer = await send(byPath.port, get(`/demo/${id}?a`));
      expect(statusOf(answer)).toBe(200);
      expect(upstream.requests.at(-1)).toBe(`GET /demo/${id}?a HTTP/1.1`);
    }
  });

  test('the redirect to the slash is not stored, because a later start may decide otherwise', async () => {
    const id = await byPath.ready((await start(OK)).port);
    for (let i = 0; i < 2; i++) {
      const answer = await send(byPath.port, get(`/demo/${id}`));
      expect(statusOf(answer)).toBe(308);
      expect(fieldIn(answer, 'location')).toBe(`/demo/${id}/`);
      expect(fieldIn(answer, 'cache-control')).toBe('no-store');
    }
  });
});

describe('WebDAV', () => {
  const copy = (target: string, lines: string, host?: string) =>
    get(target, lines, host).replace('GET', 'COPY');

  test('Destination and the tagged lists of If name the resource as the instance knows it', async () => {
    const upstream = await start(OK);
    const id = await byPath.ready(upstream.port);
    const own = `http://a.example:8080/demo/${id}`;
    await send(
      byPath.port,
      copy(
        `/demo/${id}/a`,
        `Destination: ${own}/b%20c\r\nIf: <${own}/b> (<urn:uuid:1>) </demo/${id}/d> (["</demo/${id}/e>"])\r\n`,
      ),
    );
    expect(upstream.received).toContain('Destination: http://a.example:8080/b%20c\r\n');
    expect(upstream.received).toContain(
      `If: <http://a.example:8080/b> (<urn:uuid:1>) </d> (["</demo/${id}/e>"])\r\n`,
    );
  });

  test('behind TLS and an outer prefix, with a masked Host, and for another site', async () => {
    const upstream = await start(OK);
    const masked = await byPath.ready(upstream.port, { hostHeader: 'mask' });
    const tls = `${TLS}X-Forwarded-Prefix: /outer\r\n`;
    for (const [destination, becomes] of [
      [`https://a.example/outer/demo/${masked}/b`, `http://127.0.1.1:${upstream.port}/b`],
      [`/outer/demo/${masked}/b`, '/b'],
      ['https://other.example/b', 'https://other.example/b'],
      ['https://a.example/demo/another/b', 'https://a.example/demo/another/b'],
    ]) {
      await send(byPath.port, copy(`/demo/${masked}/a`, `${tls}Destination: ${destination}\r\n`));
      expect(upstream.received).toContain(`Destination: ${becomes}\r\n`);
    }
  });

  test('in host form the scheme is that of the connection to the instance', async () => {
    const upstream = await start(OK);
    const id = await byHost.ready(upstream.port);
    const own = `${id}.${DOMAIN}:8443`;
    await send(byHost.port, copy('/a', `Destination: https://${own}/b\r\n`, own));
    expect(upstream.received).toContain(`Destination: http://${own}/b\r\n`);
  });
});

describe('a masked Host', () => {
  const fields = (origin: string, referer: string) =>
    `Origin: ${origin}\r\nReferer: ${referer}\r\n`;

  test('masks the visitor’s own origin in Origin and Referer', async () => {
    const upstream = await start(OK);
    const own = `http://127.0.1.1:${upstream.port}`;
    const id = await byPath.ready(upstream.port, { hostHeader: 'mask' });
    await send(
      byPath.port,
      get(`/demo/${id}/`, fields('http://a.example:8080', `http://a.example:8080/demo/${id}/p?q`)),
    );
    expect(upstream.received).toContain(fields(own, `${own}/p?q`));
    // Behind TLS the origin has another scheme.
    await send(
      byPath.port,
      get(`/demo/${id}/`, TLS + fields('https://a.example', `https://a.example/demo/${id}/t`)),
    );
    expect(upstream.received).toContain(fields(own, `${own}/t`));
    const alone = await byHost.ready(upstream.port, { hostHeader: 'mask' });
    const host = `${alone}.${DOMAIN}:8443`;
    await send(byHost.port, get('/', fields(`https://${host}`, `https://${host}/h`), host));
    expect(upstream.received).toContain(fields(own, `${own}/h`));
  });

  test('leaves other origins, so that the application can refuse them', async () => {
    const upstream = await start(OK);
    const id = await byPath.ready(upstream.port, { hostHeader: 'mask' });
    for (const other of [
      'https://a.example:8080',
      'http://a.example',
      'http://a.example:8081',
      'http://b.example:8080',
      'http://a.example:8080.evil.example',
      'null',
    ]) {
      await send(byPath.port, get(`/demo/${id}/`, fields(other, `${other}/x`)));
      expect(upstream.received).toContain(fields(other, `${other}/x`));
    }
  });

  test('masks the origin of a WebSocket', async () => {
    const upstream = await startUpstream(({ socket }, chunk) => {
      if (chunk.includes('\r\n\r\n')) socket.write(SWITCH);
    });
    upstreams.push(upstream);
    const id = await byPath.ready(upstream.port, { hostHeader: 'mask' });
    for (const [origin, becomes] of [
      ['http://a.example', `http://127.0.1.1:${upstream.port}`],
      ['http://evil.example', 'http://evil.example'],
    ]) {
      const raw = open(byPath.port);
      raw.send(handshake(id, 'ws', `Origin: ${origin}\r\n`));
      await raw.until(/101 Switching/);
      expect(upstream.received).toMatch(new RegExp(`^origin: ${becomes}\r$`, 'im'));
      raw.socket.destroy();
    }
  });

  test('without the mask both pass unchanged', async () => {
    const upstream = await start(OK);
    const id = await byPath.ready(upstream.port);
    const own = fields('http://a.example:8080', `http://a.example:8080/demo/${id}/p`);
    await send(byPath.port, get(`/demo/${id}/`, own));
    expect(upstream.received).toContain(own);
  });

  // Clients omit port 80 in Host and in Origin, and applications compare the two.
  test('omits port 80', async () => {
    const upstream = await start(OK, 80);
    const id = await byPath.ready(80, { hostHeader: 'mask' });
    await send(byPath.port, get(`/demo/${id}/`, 'Origin: http://a.example:8080\r\n'));
    expect(upstream.received).toContain('host: 127.0.1.1\r\n');
    expect(upstream.received).toContain('Origin: http://127.0.1.1\r\n');
  });
});

// code-server refuses a WebSocket whose Forwarded has a quoted host.
test('Forwarded is never sent, neither that of a client nor that of a trusted balancer', async () => {
  const upstream = await start(OK);
  const strangers = await below.ready(upstream.port);
  const trusted = await byPath.ready(upstream.port);
  const lines = 'forwarded: for=6.6.6.6;host="evil:1"\r\nForwarded: proto=https\r\n';
  await send(below.port, get(`/demo/${strangers}/`, lines));
  await send(byPath.port, get(`/demo/${trusted}/`, lines));
  const raw = open(byPath.port);
  raw.send(handshake(trusted, 'ws', lines));
  await waitFor('the handshake', () => upstream.received.includes('GET /ws '));
  raw.socket.destroy();
  expect(upstream.requests).toHaveLength(3);
  expect(upstream.received).not.toMatch(/^forwarded:/im);
  expect(upstream.received).not.toMatch(/6\.6\.6\.6|evil/);
});
