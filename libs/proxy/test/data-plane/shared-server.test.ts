import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { type SharedServerOptions, shareServer } from '../../src/data-plane/shared-server.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { handshake, SWITCH } from './handshake.ts';
import { open, send, statusOf } from './raw.ts';
import { OK, startUpstream, type Upstream } from './upstream.ts';

// A server that an application shares: it has pages, WebSockets and settings of its own.

let fixture: Fixture;
let upstream: Upstream;
let id: string;

beforeAll(async () => {
  fixture = await startFixture({ domain: 'demos.example' });
});
afterAll(() => fixture.stop());
afterEach(() => upstream.stop());

interface Shared {
  readonly port: number;
  readonly server: Server;
  /** The targets of the requests that the application got. */
  readonly seen: string[];
}

/** An application that answers `own`, and hands everything below /demo to the data plane. */
async function share(
  more: Partial<SharedServerOptions> = {},
  settings: Parameters<typeof createServer>[0] = {},
  own: RequestListener = (_req, res) => void res.end('own'),
  beforeListen: (server: Server) => void = () => undefined,
): Promise<Shared> {
  upstream = await startUpstream(({ socket }, chunk) => {
    if (/^upgrade: websocket\r$/im.test(chunk)) socket.write(SWITCH);
    else if (chunk.includes('\r\n\r\n')) socket.write(OK);
  });
  id = await fixture.ready(upstream.port);
  const seen: string[] = [];
  const { dataPlane } = fixture;
  const server = createServer(settings, (req, res) => {
    seen.push(req.url ?? '');
    // An application authenticates first, and not at once.
    void sleep(1).then(() => {
      if (!dataPlane.isAddressed(req) || !dataPlane.forwardAdmitted(req, res)) own(req, res);
    });
  });
  beforeListen(server);
  shareServer(server, dataPlane, {
    connections: {},
    onOwnOrigin: (req, res) => void dataPlane.forwardAdmitted(req, res),
    refusalOfUpgrade: () => Promise.resolve(undefined),
    ...more,
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, server, seen };
}

const HOST = 'Host: a.example\r\n';
const onOrigin = () => `Host: ${id}.demos.example\r\n`;

test('the application gets its own requests, and not those on the origins of instances', async () => {
  const { port, seen } = await share();
  expect(await send(port, `GET /page HTTP/1.1\r\n${HOST}\r\n`)).toMatch(/own$/);
  expect(await send(port, `GET /page HTTP/1.1\r\n${onOrigin()}\r\n`)).toMatch(/ok$/);
  expect(await send(port, `GET /demo/${id}/x HTTP/1.1\r\n${HOST}\r\n`)).toMatch(/^HTTP\/1\.1 307 /);
  expect(seen).toEqual(['/page', `/demo/${id}/x`]);
  expect(upstream.requests).toEqual(['GET /page HTTP/1.1']);
});

// Two servers could understand such a request differently, and both share its connection.
test.each([
  ['two framings', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n', 400],
  ['two hosts', 'Host: b.example\r\n', '', 400],
  ['an expectation', 'Expect: 200-ok\r\n', '', 417],
  ['many fields', 'A: b\r\n'.repeat(2_100), '', 431],
  ['large fields', `A: ${'b'.repeat(40_000)}\r\n`, '', 431],
])('%s: refused before the application, with a lenient parser too', async (...columns) => {
  const [, fields, body, status] = columns;
  const lenient = { insecureHTTPParser: true, maxHeaderSize: 1 << 20 };
  const { port, seen } = await share({}, lenient);
  const answer = await send(port, `POST /page HTTP/1.1\r\n${HOST}${fields}\r\n${body}`);
  expect(statusOf(answer)).toBe(status);
  expect(seen).toEqual([]);
});

test('an instance gets the WebSockets of its address, the application all others', async () => {
  const { port, server } = await share();
  // As libraries do, which refuse what they do not know.
  const listening = new WebSocketServer({ server, path: '/live' });
  listening.on('connection', (socket) => socket.send('live'));
  onTestFinished(() => listening.close());
  const client = new WebSocket(`ws://127.0.0.1:${port}/live`);
  const [message] = (await once(client, 'message')) as [Buffer];
  client.terminate();
  expect(message.toString()).toBe('live');
  const raw = open(port);
  raw.send(handshake(id, 'x'));
  expect(await raw.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 101 /);
  raw.socket.destroy();
});

const FORBIDDEN = { kind: 'refusal', status: 403, detail: 'not for you' } as const;

test('a handshake that the application refuses does not reach the instance', async () => {
  const { port, server } = await share({ refusalOfUpgrade: () => Promise.resolve(FORBIDDEN) });
  // A client that keeps its side open keeps no connection.
  const raw = open(port);
  raw.socket.removeAllListeners('end');
  raw.send(handshake(id, 'x'));
  expect(await raw.until(/not for you/)).toMatch(/^HTTP\/1\.1 403 /);
  const connections = () =>
    new Promise<number>((resolve) =>
      server.getConnections((_error, count) => {
        resolve(count);
      }),
    );
  await expect.poll(connections, { timeout: 20_000 }).toBe(0);
  raw.socket.destroy();
  expect(upstream.requests).toEqual([]);
});

test('a handshake behind a response that is being sent is not refused inside it', async () => {
  const begun: RequestListener = (_req, res) => void res.write('half');
  const { port } = await share({ refusalOfUpgrade: () => Promise.resolve(FORBIDDEN) }, {}, begun);
  const raw = open(port);
  raw.send(`GET /page HTTP/1.1\r\n${HOST}\r\n`);
  await raw.until(/half/);
  raw.send(handshake(id, 'x'));
  expect(await raw.untilClosed()).not.toContain('403');
});

test('an offer that nobody takes is a plain request, and the last of its connection', async () => {
  const { port, seen } = await share();
  const raw = open(port);
  const offer = `GET /page HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: foo\r\n\r\n`;
  raw.send(`${offer}GET /after HTTP/1.1\r\n${HOST}\r\n`);
  expect(await raw.untilClosed()).toMatch(/^HTTP\/1\.1 200 [^]*own$/);
  expect(seen).toEqual(['/page']);
});

test('a malformed request behind a response that is being sent is not answered inside it', async () => {
  const reported = Promise.withResolvers<undefined>();
  const add = vi.spyOn(fixture.dataPlane.refusals, 'add').mockImplementation(() => {
    reported.resolve(undefined);
  });
  onTestFinished(() => add.mockRestore());
  const respond: RequestListener = (_req, res) => {
    res.writeHead(200, { 'content-length': 8 });
    res.write('half');
    void reported.promise.then(() => res.end('rest'));
  };
  const { port } = await share({}, {}, respond);
  const raw = open(port);
  raw.send(`GET /page HTTP/1.1\r\n${HOST}\r\n`);
  await raw.until(/half$/);
  raw.send('X Y: z\r\n\r\n');
  expect(await raw.untilClosed()).toMatch(/\r\n\r\nhalfrest$/);
});

test('100 Continue comes from the application for its pages, and else from the instance', async () => {
  const { port } = await share();
  const informed = async (host: string, path = '/page') => {
    const headers = { host, expect: '100-continue', 'content-length': '2' };
    const req = httpRequest({ port, host: '127.0.0.1', path, method: 'PUT', headers });
    req.flushHeaders();
    const first = await Promise.race([
      once(req, 'continue').then(() => 'continue'),
      once(req, 'response').then(([res]) => `${(res as IncomingMessage).statusCode}`),
    ]);
    req.destroy();
    return first;
  };
  expect(await informed('a.example')).toBe('continue');
  // The path form redirects at once, and this instance answers at once.
  expect(await informed('a.example', `/demo/${id}/`)).toBe('307');
  expect(await informed(`${id}.demos.example`)).toBe('200');
});

// node:http sends fields that were set before with the response of the instance.
test.each(['Content-Length: 3', 'Transfer-Encoding: chunked', 'Trailer: A'])(
  'framing that middleware has set is not sent with a response of an instance: %s',
  async (line) => {
    const [name = '', value = ''] = line.split(': ');
    for (const when of ['before', 'after']) {
      const { port } = await share({
        onOwnOrigin(req, res) {
          if (when === 'before') res.setHeader(name, value);
          void fixture.dataPlane.forwardAdmitted(req, res);
          if (when === 'after') res.setHeader(name, value);
        },
      });
      const answer = await send(port, `GET / HTTP/1.1\r\n${onOrigin()}\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 200 /);
      expect(answer.match(/^(?:content-length|transfer-encoding|trailer): .*/gim)).toEqual([
        'Content-Length: 2',
      ]);
      await upstream.stop();
    }
  },
);

test('CONNECT is refused', async () => {
  const { port, seen } = await share();
  expect(statusOf(await send(port, `CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n`))).toBe(405);
  expect(seen).toEqual([]);
});

test('a server that ends TLS, that listens already, or that is shared already, is refused', async () => {
  const options = {
    connections: {},
    onOwnOrigin: () => undefined,
    refusalOfUpgrade: () => Promise.resolve(undefined),
  };
  expect(() =>
    shareServer(createTlsServer() as unknown as Server, fixture.dataPlane, options),
  ).toThrow('needs the http.Server');
  const { server } = await share();
  expect(() => shareServer(server, fixture.dataPlane, options)).toThrow(
    'before the server listens',
  );
  const twice = createServer();
  shareServer(twice, fixture.dataPlane, options);
  expect(() => shareServer(twice, fixture.dataPlane, options)).toThrow(
    'was called for this server',
  );
});
