import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { Readiness, Template } from '@ephemera/domain';
import { afterAll, describe, expect, test } from 'vitest';
import { assignedInstance } from '../test/docker-fixture.ts';
import { probe } from './probe.ts';

const HTTP: Readiness = { kind: 'http', path: '/health', status: [[200, 399]], within: 30_000 };
const TCP: Readiness = { kind: 'tcp', within: 30_000 };
const AUTO: Readiness = { kind: 'auto', within: 30_000 };

const cleanups: (() => void)[] = [];
afterAll(() => {
  for (const cleanup of cleanups) cleanup();
});

/** A server on the port of a container, with the behaviour of `answer`. */
async function serve(answer: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => answer(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const attempt = (port: number, ready: Readiness, template: Partial<Template> = {}) =>
  probe(assignedInstance({ port, ready, ...template }), '127.0.0.1', 30_000);
const ask = async (port: number, ready: Readiness) => (await attempt(port, ready)).ready;
const findingOf = async (...args: Parameters<typeof attempt>) => {
  const result = await attempt(...args);
  return result.ready ? undefined : result.finding;
};
/** A port that refuses connections, and is not used while the test runs. */
const CLOSED_PORT = 1;

test.each([
  ['200 OK', true],
  ['204 No Content', true],
  ['302 Found', true],
  ['400 Bad Request', false],
  ['503 Unavailable', false],
])('a response with %s: %s', async (status, serves) => {
  const port = await serve((socket) => {
    socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
  });
  expect(await ask(port, HTTP)).toBe(serves);
});

test('requests the path of the template, and accepts its statuses', async () => {
  const asked: string[] = [];
  const server = createHttpServer((req, res) => {
    asked.push(`${req.method ?? ''} ${req.url ?? ''}`);
    res.writeHead(401).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const login = {
    ...HTTP,
    path: '/login?next=/',
    status: [
      [200, 299],
      [401, 401],
    ],
  } as const;
  expect(await ask(port, login)).toBe(true);
  expect(asked).toEqual(['GET /login?next=/']);
});

test('a tcp probe succeeds only if the port accepts a connection', async () => {
  const port = await serve(() => undefined);
  expect(await ask(port, TCP)).toBe(true);
  expect(await ask(1, TCP)).toBe(false);
  expect(await ask(1, HTTP)).toBe(false);
});

test('a container without an address is not ready', async () => {
  expect(await probe(assignedInstance(), '', 30_000)).toMatchObject({ ready: false });
});

// A probe that never ends occupies a start slot of the host. A few such containers would block all
// starts. They only wait.
test.concurrent.each<[string, (socket: Socket) => void]>([
  ['says nothing', () => undefined],
  ['hangs up', (socket) => socket.destroy()],
  ['speaks another protocol', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
  [
    'switches protocols unasked',
    (socket) => socket.write('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
  ],
  [
    'sends its head a byte at a time',
    (socket) => trickle(socket, `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(1_000)}`, 1),
  ],
  [
    'goes on continuing',
    (socket) => trickle(socket, 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(99), 25),
  ],
])('a server that %s fails the probe within the timeout', async (_, answer) => {
  const port = await serve(answer);
  const began = Date.now();
  expect(await ask(port, HTTP)).toBe(false);
  expect(Date.now() - began).toBeLessThan(4_000);
});

test('an endless body does not delay the probe', async () => {
  const port = await serve((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
  });
  expect(await ask(port, HTTP)).toBe(true);
});

/** An HTTP server that records the requests, and answers each with the next of the statuses. */
async function application(...statuses: number[]) {
  const asked: { path: string | undefined; host: string | undefined }[] = [];
  const server = createHttpServer((req, res) => {
    asked.push({ path: req.url, host: req.headers.host });
    res.writeHead(statuses.length > 1 ? (statuses.shift() ?? 200) : (statuses[0] ?? 200)).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => void server.close());
  return { port: (server.address() as AddressInfo).port, asked };
}

// They only wait, each for its own server.
describe.concurrent('the default probe', () => {
  test.each([
    [200, true],
    [302, true],
    [401, true],
    [404, true],
    [499, true],
    [500, false],
    [503, false],
  ])('a response with status %s: %s', async (status, serves) => {
    const { port } = await application(status);
    expect(await ask(port, AUTO)).toBe(serves);
  });

  test('is repeated after a 5xx', async () => {
    const { port } = await application(502, 404);
    expect(await findingOf(port, AUTO)).toMatch(
      /^GET \/ on port \d+ answered 502; a status below 500 is accepted\./,
    );
    expect(await ask(port, AUTO)).toBe(true);
  });

  test.each<[string, (socket: Socket) => void]>([
    ['sends nothing', () => undefined],
    ['answers as Redis does', (socket) => socket.write("-ERR unknown command 'GET'\r\n")],
    ['answers with a TLS alert', (socket) => socket.end(Buffer.from('15030100020232', 'hex'))],
  ])('a server that %s is ready after its second connection', async (_, answer) => {
    let connections = 0;
    const port = await serve((socket) => {
      connections++;
      answer(socket);
    });
    expect(await ask(port, AUTO)).toBe(true);
    expect(connections).toBe(2);
  });

  // A binary protocol may refuse a GET so.
  test.each<[string, (socket: Socket) => void]>([
    ['closes', (socket) => socket.end()],
    ['resets', (socket) => socket.resetAndDestroy()],
  ])('a server that %s a connection on which it receives a GET is ready', async (_, answer) => {
    const port = await serve(answer);
    expect(await ask(port, AUTO)).toBe(true);
  });

  // A relay such as socat, whose application does not listen yet.
  test.each<[string, (socket: Socket) => void]>([
    ['closes', (socket) => socket.end()],
    ['resets', (socket) => socket.resetAndDestroy()],
  ])('a server that %s every connection at once is not ready', async (_, close) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      close(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => void server.close());
    const { port } = server.address() as AddressInfo;
    expect(await ask(port, AUTO)).toBe(false);
  });

  test('a server that greets the client first is ready', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write('SSH-2.0-OpenSSH_9.2\r\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => void server.close());
    expect(await ask((server.address() as AddressInfo).port, AUTO)).toBe(true);
  });

  // A concurrent test could get the freed port.
  test(
    'a server that closes one connection and then listens no more is not ready',
    { concurrent: false },
    async () => {
      const server = createServer((socket) => {
        server.close();
        socket.on('error', () => undefined);
        socket.destroy();
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      expect(await findingOf(port, AUTO)).toContain('refused the connection');
    },
  );

  test('a server that closes one connection and then answers 500 is not ready', async () => {
    let connections = 0;
    const port = await serve((socket) => {
      if (++connections === 1) socket.end();
      else socket.end('HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n');
    });
    expect(await ask(port, AUTO)).toBe(false);
  });

  test('a response head that is not complete is HTTP, and not ready', async () => {
    const port = await serve((socket) => socket.write('HTTP/1.1 200 OK\r\nX: '));
    expect(await findingOf(port, AUTO)).toContain(
      'head of the response was not complete within 2 s',
    );
  });

  test('a port without a listener is not ready', async () => {
    expect(await findingOf(CLOSED_PORT, AUTO)).toMatch(
      /^Port 1 refused the connection\. The application must listen on this port on all interfaces/,
    );
  });
});

describe('the request', () => {
  const url = 'http://apps.example:8080/demo/k1/';

  test.each<[string, Readiness, Partial<Template>, { path: string; host: string }]>([
    ['the root', AUTO, {}, { path: '/', host: 'apps.example:8080' }],
    ['the path', HTTP, {}, { path: '/health', host: 'apps.example:8080' }],
    [
      'the base path of an application that knows it',
      AUTO,
      { stripPrefix: false },
      { path: '/demo/k1/', host: 'apps.example:8080' },
    ],
    [
      'below the base path of an application that knows it',
      HTTP,
      { stripPrefix: false },
      { path: '/demo/k1/health', host: 'apps.example:8080' },
    ],
    [
      'a path that has the placeholder once below it',
      { ...HTTP, path: '{basePath}/api?next={basePath}' },
      { stripPrefix: false },
      { path: '/demo/k1/api?next=/demo/k1', host: 'apps.example:8080' },
    ],
    [
      'a path with the placeholder although the proxy strips the prefix',
      { ...HTTP, path: '{basePath}/api' },
      {},
      { path: '/demo/k1/api', host: 'apps.example:8080' },
    ],
    ['another host', { ...AUTO, host: 'localhost' }, {}, { path: '/', host: 'localhost' }],
  ])('asks for %s', async (_, ready, template, expected) => {
    const { port, asked } = await application(204);
    const instance = { ...assignedInstance({ port, ready, ...template }), url };
    expect(await probe(instance, '127.0.0.1', 30_000)).toEqual({ ready: true });
    expect(asked).toEqual([expected]);
  });

  test('in host form the base path is empty', async () => {
    const { port, asked } = await application(204);
    const instance = {
      ...assignedInstance({ port, ready: HTTP, stripPrefix: false }),
      url: 'http://k1.apps.example/',
    };
    expect(await probe(instance, '127.0.0.1', 30_000)).toEqual({ ready: true });
    expect(asked).toEqual([{ path: '/health', host: 'k1.apps.example' }]);
  });

  test('of a template that masks the host names the address of the container', async () => {
    const { port, asked } = await application(204);
    await attempt(port, HTTP, { host: 'mask' });
    expect(asked).toEqual([{ path: '/health', host: `127.0.0.1:${port}` }]);
  });

  test('waits for the timeout of the template', async () => {
    const port = await serve((socket) => {
      setTimeout(() => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), 600);
    });
    expect(await ask(port, { ...HTTP, timeout: 5_000 })).toBe(true);
    expect(await findingOf(port, { ...HTTP, timeout: 300 })).toContain(
      'nothing was sent within 0.3 s',
    );
  });

  test('does not outlast the start deadline', async () => {
    const port = await serve(() => undefined);
    const began = Date.now();
    const ready = { ...HTTP, timeout: 20_000 };
    await probe(assignedInstance({ port, ready }), '127.0.0.1', 100);
    expect(Date.now() - began).toBeLessThan(2_000);
  });
});

test.each<[string, Readiness, string | RegExp]>([
  [
    'status',
    HTTP,
    /^GET \/health on port \d+ answered 404; the template accepts 200–399\. Set ready\.http/,
  ],
  [
    'several statuses',
    {
      ...HTTP,
      status: [
        [200, 299],
        [401, 401],
      ],
    },
    'the template accepts 200–299, 401.',
  ],
])('a failed probe names the %s that came and those that are accepted', async (_, ready, text) => {
  const { port } = await application(404);
  expect(await findingOf(port, ready)).toMatch(text);
});

test('a failed probe says that the connection was refused or closed', async () => {
  const port = await serve((socket) => socket.destroy());
  expect(await findingOf(port, HTTP)).toContain('the connection was closed without a response');
  expect(await findingOf(CLOSED_PORT, HTTP)).toContain('refused the connection');
  expect(await findingOf(CLOSED_PORT, TCP)).toContain('refused the connection');
});

function trickle(socket: Socket, text: string, size: number): void {
  let at = 0;
  const timer = setInterval(() => {
    socket.write(text.slice(at, (at += size)));
  }, 100);
  socket.once('close', () => clearInterval(timer));
}
