import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json, text } from 'node:stream/consumers';
import { type StartedRedis, startRedis } from '@ephemera/test-support';
import Router from '@koa/router';
import express from 'express';
import Fastify from 'fastify';
import Koa from 'koa';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createEphemera, EphemeraError } from '../src/index.ts';
import type { AttachOptions, Ephemera, EphemeraOptions } from '../src/index.ts';
import { listenOn, WEBSOCKET_KEY } from './fixture.ts';

// What an application may do wrong, and what visitors get then. No instance is needed for this.

const ID = `a${'b'.repeat(25)}`;

let redis: StartedRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

interface Application {
  readonly ephemera: Ephemera;
  readonly server: Server;
  readonly url: string;
  readonly port: number;
}

/** Joins the deployment until the end of the test. */
async function start(more: Partial<EphemeraOptions> = {}): Promise<Ephemera> {
  const ephemera = await createEphemera({
    redis: redis.url,
    publicUrl: 'http://127.0.0.1:3000',
    templates: {
      demo: { image: 'ephemera/demo', port: 8080 },
      members: { image: 'ephemera/demo', port: 8080, create: 'token' },
    },
    logLevel: 'silent',
    ...more,
  });
  onTestFinished(() => ephemera.close());
  return ephemera;
}

async function serve(
  listen: (ephemera: Ephemera) => RequestListener,
  {
    attach = true,
    more = {},
    ...attachOptions
  }: AttachOptions & { attach?: boolean; more?: Partial<EphemeraOptions> } = {},
): Promise<Application> {
  const ephemera = await start(more);
  const server = createServer(listen(ephemera));
  if (attach) ephemera.attach(server, attachOptions);
  const port = await listenOn(server);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { ephemera, server, port, url: `http://127.0.0.1:${port}` };
}

const plain = (ephemera: Ephemera): RequestListener => {
  const handle = ephemera.handler();
  return (req, res) => {
    if (!handle(req, res)) res.end('own');
  };
};

test('only paths below the prefix are not for the application', async () => {
  const { url } = await serve(plain);
  expect((await fetch(`${url}/demo/none`)).status).toBe(404);
  expect(await (await fetch(`${url}/demos`)).text()).toBe('own');
});

test('a mount of Express, which removes its path from the target', async () => {
  const { url } = await serve((ephemera) => express().use('/demo', ephemera.express()));
  const answer = await fetch(`${url}/demo/none`);
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
});

// Such middleware answers for pages that nobody has found, whatever comes after it.
test.each<[string, Koa.Middleware]>([
  [
    'a body',
    async (ctx, next) => {
      await next();
      if (ctx.status !== 404) return;
      ctx.status = 404;
      ctx.body = 'no such page';
    },
  ],
  [
    'an error',
    async (ctx, next) => {
      await next();
      if (ctx.status === 404 && ctx.body === undefined) ctx.throw(404, 'no such page');
    },
  ],
])('Koa middleware that answers 404 with %s does not answer for instances', async (_n, missing) => {
  const after: number[] = [];
  const { url } = await serve((ephemera) => {
    const app = new Koa();
    app.silent = true;
    app.use(async (ctx, next) => {
      await next();
      after.push(ctx.status);
    });
    app.use(missing);
    const router = new Router();
    router.use('/demo', ephemera.routes());
    app.use(router.routes());
    const listener = app.callback();
    return (req, res) => void listener(req, res);
  });
  expect(await (await fetch(`${url}/elsewhere`)).text()).toBe('no such page');
  const answer = await fetch(`${url}/demo/new?template=none`, {
    headers: { accept: 'text/plain' },
  });
  expect(answer.status).toBe(400);
  const missingInstance = await fetch(`${url}/demo/none`);
  expect(missingInstance.headers.get('content-type')).toBe('application/problem+json');
  await expect.poll(() => after).toContain(400);
});

test('Koa middleware goes on if the client leaves a response that waits for another', async () => {
  const left = Promise.withResolvers<undefined>();
  const waiting = Promise.withResolvers<undefined>();
  const { port } = await serve((ephemera) => {
    const app = new Koa();
    app.use(async (_ctx, next) => {
      await next();
      left.resolve(undefined);
    });
    app.use(ephemera.routes());
    const listener = app.callback();
    return (req, res) => {
      // The first response never ends.
      if (req.url === '/') return;
      void listener(req, res);
      waiting.resolve(undefined);
    };
  });
  const socket = connect(port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /demo/none HTTP/1.1\r\nHost: a\r\n\r\n');
  await waiting.promise;
  socket.destroy();
  await left.promise;
});

test('framing that middleware has set is not sent with an answer of Ephemera', async () => {
  const { port } = await serve((ephemera) => {
    const handle = ephemera.handler();
    return (req, res) => {
      res.setHeader('Transfer-Encoding', 'chunked');
      handle(req, res);
    };
  });
  const client = connect(port, '127.0.0.1');
  client.write('GET /demo/none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  const answer = await text(client);
  expect(answer).toMatch(/^content-length: \d+\r$/im);
  expect(answer).not.toMatch(/^transfer-encoding:/im);
});

test('a server that is not attached: 500 for instances, its own pages work', async () => {
  const { url } = await serve(plain, { attach: false });
  const answer = await fetch(`${url}/demo/${ID}/`);
  expect([answer.status, await answer.json()]).toEqual([
    500,
    expect.objectContaining({ detail: expect.stringContaining('not set up') as unknown }),
  ]);
  expect(await (await fetch(`${url}/`)).text()).toBe('own');
});

test.each([
  ['express.json()', (app: express.Express) => app.use(express.json())],
  [
    'a reader of its own',
    (app: express.Express) => app.use((req, _res, next) => void json(req).then(() => next(), next)),
  ],
])('a body that %s has read: 500 instead of a request without it', async (_name, parse) => {
  const { url } = await serve((ephemera) => {
    const app = express();
    parse(app);
    app.use(ephemera.express());
    return app;
  });
  const post = (body: string) =>
    fetch(`${url}/demo/${ID}/`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
  expect((await post('{"a":1}')).status).toBe(500);
});

const failing = () => {
  throw new Error('no session store');
};

test.each<[string, () => unknown, number]>([
  ['undefined', () => undefined, 401],
  ['null', () => null, 401],
  ['an empty text', () => '', 500],
  ['false', () => false, 500],
  ['a number', () => 7, 500],
  ['a promise', () => Promise.resolve('ada'), 500],
  ['a long text', () => 'a'.repeat(257), 500],
  ['an error', failing, 500],
])('an owner that is %s starts no instance of a user', async (_name, owner, status) => {
  const { url } = await serve((ephemera) => {
    const handle = ephemera.handler({ owner: owner as () => string });
    return (req, res) => {
      if (!handle(req, res)) res.end('own');
    };
  });
  expect((await fetch(`${url}/demo/new?template=members`)).status).toBe(status);
  // It is not asked about other requests.
  expect(await (await fetch(`${url}/`)).text()).toBe('own');
  expect((await fetch(`${url}/demo/none`)).status).toBe(404);
});

test.each<[string, Partial<EphemeraOptions> | undefined]>([
  ['the options', { allow: { capabilities: ['NET_RAW'] }, images: { allow: ['acme/**'] } }],
  ['the file', undefined],
])('the policy of %s applies to a container of a program', async (_from, policy) => {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-embed-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'ephemera.yml');
  await writeFile(
    path,
    JSON.stringify({
      templates: { demo: { image: 'acme/demo', port: 8080 } },
      allow: { capabilities: ['NET_RAW'] },
      images: { allow: ['acme/**'] },
    }),
  );
  const templates = { demo: { image: 'acme/demo', port: 8080 } };
  const ephemera = await start(policy ? { ...policy, templates } : { templates: path });
  const { template } = ephemera.newContainer('acme/lab', '5m', { capAdd: ['NET_RAW'] });
  expect(template.capAdd).toEqual(['NET_RAW']);
  expect(() => ephemera.newContainer('acme/lab', '5m', { capAdd: ['NET_ADMIN'] })).toThrow(
    'capAdd',
  );
  expect(() => ephemera.newContainer('other/lab', '5m')).toThrow('image');
});

test('a program starts nothing for an owner that is no id', async () => {
  const { ephemera } = await serve(plain);
  const refused = ephemera.create('demo', { owner: '' });
  await expect(refused).rejects.toThrow('owner: must be a text of 1 to 256 characters');
});

/** Sends a request on a connection of its own, and returns everything that comes back. */
async function sendTo(port: number, ...lines: string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  return await text(socket);
}

const handshakeAt = (path: string, host = 'a') => [
  `GET ${path} HTTP/1.1`,
  ...[`Host: ${host}`, 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
  `Sec-WebSocket-Key: ${WEBSOCKET_KEY}`,
];
const DOMAIN = { domain: 'demos.example' };

test('after close(): 503 for instances, never a page of the application', async () => {
  const { ephemera, port, url } = await serve(plain, { more: DOMAIN });
  const closing = ephemera.close();
  const answer = await fetch(`${url}/demo/new`);
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
  await closing;
  expect((await fetch(`${url}/demo/${ID}/`)).status).toBe(503);
  expect(await (await fetch(`${url}/`)).text()).toBe('own');
  const onOrigin = await sendTo(port, 'GET / HTTP/1.1', `Host: ${ID}.demos.example`);
  expect(onOrigin).toMatch(/^HTTP\/1\.1 503 /);
  for (const [path, host] of [[`/demo/${ID}/`], ['/', `${ID}.demos.example`]] as const) {
    expect(await sendTo(port, ...handshakeAt(path, host))).toMatch(/^HTTP\/1\.1 503 .*stopping/s);
  }
  // The application offers no WebSockets.
  const offer = await sendTo(port, ...handshakeAt('/'));
  expect(offer).toMatch(/^HTTP\/1\.1 200 [^]*own$/);
  await ephemera.close();
});

test('a timeout that is no duration is refused, and nothing is closed', async () => {
  const { ephemera, url } = await serve(plain);
  await expect(ephemera.killAll({ timeout: 'soon' })).rejects.toThrow(EphemeraError);
  await expect(ephemera.close({ timeout: 'soon' })).rejects.toThrow(EphemeraError);
  expect((await fetch(`${url}/demo/none`)).status).toBe(404);
  await ephemera.close({ timeout: '1m' });
  expect((await fetch(`${url}/demo/none`)).status).toBe(503);
});

test('a handshake that the application allows after close() opens no tunnel', async () => {
  const asked = Promise.withResolvers<undefined>();
  const allowed = Promise.withResolvers<boolean>();
  const { ephemera, port } = await serve(plain, {
    mayUpgrade() {
      asked.resolve(undefined);
      return allowed.promise;
    },
  });
  const answer = sendTo(port, ...handshakeAt(`/demo/${ID}/`));
  await asked.promise;
  await ephemera.close();
  allowed.resolve(true);
  expect(await answer).toMatch(/^HTTP\/1\.1 503 .*stopping/s);
});

test('the application decides about WebSockets below the prefix only', async () => {
  const seen: unknown[] = [];
  const { port } = await serve(plain, {
    more: DOMAIN,
    mayUpgrade({ url }) {
      seen.push(url);
      if (url?.endsWith('x') === true) throw new Error('no session store');
      return false;
    },
  });
  expect(await sendTo(port, ...handshakeAt(`/demo/${ID}/`))).toMatch(/^HTTP\/1\.1 403 /);
  expect(await sendTo(port, ...handshakeAt(`/demo/${ID}/x`))).toMatch(/^HTTP\/1\.1 500 /);
  // The login of the application has no cookie there.
  const onOrigin = await sendTo(port, ...handshakeAt('/live', `${ID}.demos.example`));
  expect(onOrigin).toContain('urn:ephemera:problem:rebuilding');
  expect(seen).toEqual([`/demo/${ID}/`, `/demo/${ID}/x`]);
});

test('a handshake from a server that is not attached is refused', async () => {
  const { server } = await serve(plain);
  // Fastify opens such servers for the other addresses of `localhost`.
  const other = createServer();
  other.on('upgrade', (...args) => server.emit('upgrade', ...args));
  onTestFinished(() => void other.close());
  const port = await listenOn(other);
  expect(await sendTo(port, ...handshakeAt(`/demo/${ID}/`))).toMatch(/^HTTP\/1\.1 500 /);
});

test('Fastify listens on a host that is named', async () => {
  const ephemera = await start();
  const app = Fastify();
  onTestFinished(() => app.close());
  await app.register(ephemera.fastify());
  app.get('/own', () => 'own');
  await app.ready();
  ephemera.attach(app.server);
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  expect(app.addresses()).toHaveLength(1);
  expect((await fetch(`${url}/demo/none`)).status).toBe(404);
  expect(await (await fetch(`${url}/own`)).text()).toBe('own');
});

test('HTTP/1.0 gets no informational response', async () => {
  const { port } = await serve(plain);
  const fields = ['Host: a', 'Expect: 100-continue', 'Content-Length: 0'];
  expect(await sendTo(port, 'POST /demo/none HTTP/1.0', ...fields)).toMatch(/^HTTP\/1\.1 404 /);
});

test('a client that leaves while the application authenticates it costs nothing', async () => {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const { promise: handled, resolve: onHandled } = Promise.withResolvers<boolean>();
  const { port, ephemera } = await serve((library) => {
    const handle = library.handler();
    return (req, res) => {
      res.once('close', () => resolve(undefined));
      void promise.then(() => onHandled(handle(req, res)));
    };
  });
  const socket = connect(port, '127.0.0.1');
  socket.write(`GET /demo/${ID}/ HTTP/1.1\r\nHost: a\r\n\r\n`, () => socket.destroy());
  expect(await handled).toBe(true);
  expect(await ephemera.metrics.metrics()).toMatch(/^ephemera_requests_in_flight\{.*\} 0$/m);
});
