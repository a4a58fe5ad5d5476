import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { connect } from 'node:net';
import { json, text } from 'node:stream/consumers';
import { type StartedRedis, startRedis } from '@ephemera/test-support';
import Router from '@koa/router';
import express from 'express';
import Koa from 'koa';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createEphemera } from '../src/index.ts';
import type { Ephemera } from '../src/index.ts';
import { listenOn } from './fixture.ts';

// What an application may do wrong, and what visitors get then. No instance is needed for this.

const ID = `a${'b'.repeat(25)}`;

let redis: StartedRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

interface Application {
  readonly ephemera: Ephemera;
  readonly url: string;
  readonly port: number;
}

async function serve(
  listen: (ephemera: Ephemera) => RequestListener,
  { attach = true }: { attach?: boolean } = {},
): Promise<Application> {
  const ephemera = await createEphemera({
    redis: redis.url,
    publicUrl: 'http://127.0.0.1:3000',
    templates: {
      demo: { image: 'ephemera/demo', port: 8080 },
      members: { image: 'ephemera/demo', port: 8080, create: 'token' },
    },
    logLevel: 'silent',
  });
  onTestFinished(() => ephemera.close());
  const server = createServer(listen(ephemera));
  if (attach) ephemera.attach(server);
  const port = await listenOn(server);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { ephemera, port, url: `http://127.0.0.1:${port}` };
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

test('a program starts nothing for an owner that is no id', async () => {
  const { ephemera } = await serve(plain);
  const start = ephemera.create('demo', { owner: '' });
  await expect(start).rejects.toThrow('owner: must be a text of 1 to 256 characters');
});

test('after close(): 503 for instances, and the server is the application’s again', async () => {
  const { ephemera, port, url } = await serve(plain);
  const closing = ephemera.close();
  const answer = await fetch(`${url}/demo/new`);
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
  await closing;
  expect((await fetch(`${url}/demo/${ID}/`)).status).toBe(503);
  expect(await (await fetch(`${url}/`)).text()).toBe('own');
  // The server belongs to the application again, which offers no WebSockets.
  const socket = connect(port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  const received = await new Promise<string>((resolve) => {
    let all = '';
    socket.on('data', (data) => {
      all += data.toString();
      if (all.includes('own')) resolve(all);
    });
  });
  expect(received).toMatch(/^HTTP\/1\.1 200 /);
  socket.destroy();
  await ephemera.close();
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
