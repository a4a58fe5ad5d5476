import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import Router from '@koa/router';
import { type Deployment, demoTemplate, deploy, freePort } from '@ephemera/test-support';
import express from 'express';
import Fastify from 'fastify';
import Koa from 'koa';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createEphemera, EphemeraError } from '../src/index.ts';
import type { Ephemera, EphemeraOptions } from '../src/index.ts';
import { containersOf, DEMO, ECHO, joining, listenOn, WEBSOCKET_KEY } from './fixture.ts';

// Applications that embed the library, over one Redis, with an ordinary replica and its worker.

let site: Deployment;
let replica: string;

beforeAll(async () => {
  site = await deploy({ templates: `templates: { demo: ${demoTemplate()} }` });
  replica = site.publicUrls[0] ?? '';
});
afterAll(() => site.stop());

const TEMPLATES: EphemeraOptions['templates'] = {
  demo: DEMO,
  members: { ...DEMO, create: 'token', access: 'token' },
  echo: ECHO,
};

/** An application on a port of its own. */
interface Application {
  readonly ephemera: Ephemera;
  readonly url: string;
  readonly server: Server;
}

/** Who a request claims to be; a real application reads its session. */
const userOf = (headers: NodeJS.Dict<string | string[]>) => headers['x-user']?.toString();

async function embed(
  mount: (ephemera: Ephemera) => Server | Promise<Server>,
  more: Partial<EphemeraOptions> = {},
): Promise<Application> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const ephemera = await createEphemera({
    ...joining(site, url),
    templates: TEMPLATES,
    limits: { perOwner: 2 },
    ...more,
  });
  onTestFinished(() => ephemera.close());
  const server = await mount(ephemera);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  ephemera.attach(server, { mayUpgrade: ({ headers }) => userOf(headers) !== 'guest' });
  await listenOn(server, port);
  return { ephemera, url, server };
}

/** The same application in each framework: a page of its own, and Ephemera at /demo. */
const APPLICATIONS: Record<string, (ephemera: Ephemera) => Server | Promise<Server>> = {
  'node:http'(ephemera) {
    const handle = ephemera.handler({ owner: ({ headers }) => userOf(headers) });
    return createServer((req, res) => {
      if (!handle(req, res)) res.end(`own ${req.url}`);
    });
  },
  'a Koa router'(ephemera) {
    const app = new Koa();
    const router = new Router();
    router.use('/demo', ephemera.routes({ owner: (ctx) => userOf(ctx.headers) }));
    router.get('/own', (ctx) => {
      ctx.body = `own ${ctx.url}`;
    });
    app.use(router.routes());
    return createServer((req, res) => void app.callback()(req, res));
  },
  Koa(ephemera) {
    const app = new Koa();
    app.use(ephemera.routes({ owner: (ctx) => userOf(ctx.headers) }));
    app.use((ctx) => {
      ctx.body = `own ${ctx.url}`;
    });
    return createServer((req, res) => void app.callback()(req, res));
  },
  Express(ephemera) {
    const app = express();
    app.use('/demo', ephemera.express({ owner: (req) => userOf(req.headers) }));
    app.use(express.json());
    app.use((req, res) => void res.send(`own ${req.url}`));
    return createServer(app);
  },
  async Fastify(ephemera) {
    const app = Fastify();
    await app.register(ephemera.fastify({ owner: (request) => userOf(request.raw.headers) }));
    app.get('/own', (request) => `own ${request.url}`);
    await app.ready();
    return app.server;
  },
};

/** Starts an instance as a visitor does, and returns its id. */
async function start(url: string, query = '', headers: Record<string, string> = {}) {
  const answer = await fetch(`${url}/demo/new?redirect=0${query}`, { headers });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([
    200,
    'text/plain; charset=utf-8',
  ]);
  return await answer.text();
}

describe.each(Object.entries(APPLICATIONS))('%s', (_name, mount) => {
  test('serves instances below the prefix, and its own pages elsewhere', async () => {
    const { ephemera, url } = await embed(mount);
    const redirect = await fetch(`${url}/demo/new`, { redirect: 'manual' });
    expect(redirect.status).toBe(307);
    const location = redirect.headers.get('location') ?? '';
    const id = location.split('/')[2] ?? '';
    expect(await (await fetch(`${url}${location}id`)).text()).toBe(id);
    // A body is the instance's: no parser of the framework reads it.
    const posted = await fetch(`${url}${location}id`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{not json',
    });
    expect(posted.status).not.toBe(400);
    expect(await (await fetch(`${url}/own?a=1`)).text()).toBe('own /own?a=1');
    expect((await fetch(`${url}/demonstration`)).status).toBe(
      (await fetch(`${url}/elsewhere`)).status,
    );
    expect((await fetch(`${url}/demo/none`)).status).toBe(404);

    expect(await ephemera.killAll()).toBe(1);
    expect(await containersOf(site.namespace)).not.toContain(id);
    expect((await fetch(`${url}/demo/${id}/id`)).status).toBe(410);
  });

  test('the owner that the application names has a quota, and may start what needs a token', async () => {
    const { url } = await embed(mount);
    const anonymous = await fetch(`${url}/demo/new?template=members`, { redirect: 'manual' });
    expect(anonymous.status).toBe(401);
    const owner = { 'x-user': `user-${url.slice(-5)}` };
    const first = await start(url, '&template=members', owner);
    await start(url, '', owner);
    const third = await fetch(`${url}/demo/new`, { headers: owner, redirect: 'manual' });
    expect(third.status).toBe(429);
    expect(await third.json()).toMatchObject({ limit: 'owner' });
    await start(url, '', { 'x-user': `${owner['x-user']}-2` });
    // The control API of the replica shows whose it is.
    const found = await site.api('GET', `/v1/instances/${first}`);
    expect(await found.json()).toMatchObject({ id: first, template: 'members' });
  });

  test('WebSockets reach the instance, if the application allows them', async () => {
    const { url, ephemera } = await embed(mount);
    await using instance = await ephemera.create('echo');
    expect(await handshake(url, instance.id)).toMatch(/^HTTP\/1\.1 101 [^]*\r\n\r\nping$/);
    expect(await handshake(url, instance.id, 'X-User: guest\r\n')).toMatch(/^HTTP\/1\.1 403 /);
    // A framework that offers no WebSocket sees a plain request.
    const own = await upgradeOf(url, '/own', '');
    expect(own).toMatch(/^HTTP\/1\.1 200 [^]*own \/own/);
  });
});

/** Opens a WebSocket, and sends four bytes. Returns everything that was received. */
function handshake(url: string, id: string, more = ''): Promise<string> {
  return upgradeOf(url, `/demo/${id}/`, more);
}

async function upgradeOf(url: string, path: string, more: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${WEBSOCKET_KEY}\r\n${more}\r\n`,
  );
  let text = '';
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.on('error', () => undefined).on('close', () => resolve(text));
  socket.on('data', (data) => {
    text += data.toString('latin1');
    if (text.endsWith('\r\n\r\n') && text.startsWith('HTTP/1.1 101')) socket.write('ping');
    if (text.endsWith('ping')) socket.destroy();
  });
  return await promise;
}

test('two embedding applications and the replica serve the same instances', async () => {
  const koa = await embed(APPLICATIONS['Koa'] ?? expect.fail());
  const plain = await embed(APPLICATIONS['node:http'] ?? expect.fail());
  const ids = [
    await start(koa.url),
    // A template that the replica does not know: the instance carries it.
    (await koa.ephemera.create('echo')).id,
    await start(plain.url),
    await start(replica),
  ];
  for (const url of [koa.url, plain.url, replica]) {
    for (const id of [ids[0], ids[2], ids[3]]) {
      const answer = await fetch(`${url}/demo/${id}/id`, { redirect: 'manual' });
      expect([url, answer.status, await answer.text()]).toEqual([url, 200, id]);
    }
    expect(await handshake(url, ids[1] ?? '')).toMatch(/ping$/);
  }
  // One ends its own, and not those of the others.
  await koa.ephemera.close();
  const left = await containersOf(site.namespace);
  expect(left).not.toContain(ids[0]);
  expect(left).not.toContain(ids[1]);
  expect(left).toContain(ids[2]);
  expect(left).toContain(ids[3]);
  expect((await fetch(`${plain.url}/demo/${ids[0]}/id`)).status).toBe(410);
  expect((await fetch(`${koa.url}/demo/${ids[2]}/id`)).status).toBe(503);
});

test('a program starts, renders and ends an instance', async () => {
  const { ephemera, url } = await embed(APPLICATIONS['node:http'] ?? expect.fail());
  const container = ephemera.newContainer('ephemera/demo', '5m', {
    ...DEMO,
    env: { GREETING: 'hello' },
    metadata: { lesson: '3' },
    owner: 'program',
  });
  expect(() => container.url).toThrow('not started');
  expect(String(container)).toBe(
    'instance (not started) of template demo, image ephemera/demo, ttl 5m',
  );
  const ended = container.start().then(() => container.waitKill());
  await container.start();
  const { id } = container;
  expect(container.url).toBe(`${url}/demo/${id}/`);
  expect(await (await fetch(`${container.url}id`)).text()).toBe(id);
  const resource = (await (await site.api('GET', `/v1/instances/${id}`)).json()) as object;
  expect(resource).toMatchObject({ metadata: { lesson: '3' }, timeout: 300 });
  await container.kill();
  expect(await ended).toMatchObject({ reason: 'request' });
  expect(await containersOf(site.namespace)).not.toContain(id);
});

test('a program names another image, which the template must allow', async () => {
  const { ephemera } = await embed(APPLICATIONS['node:http'] ?? expect.fail(), {
    templates: {
      demo: DEMO,
      any: { ...DEMO, image: 'ephemera/none', imageAllow: ['ephemera/demo'] },
    },
  });
  await using instance = await ephemera.create('any', { image: 'ephemera/demo' });
  const { id } = instance;
  expect(await (await fetch(`${instance.url}id`)).text()).toBe(id);
  expect(instance.template).toMatchObject({ name: 'any', image: 'ephemera/demo' });
  expect(String(instance)).toBe(`instance ${id} of template any, image ephemera/demo, ttl 30m`);
  const resource = (await (await site.api('GET', `/v1/instances/${id}`)).json()) as object;
  expect(resource).toMatchObject({ template: 'any', image: 'ephemera/demo' });
  await expect(ephemera.create('any', { image: 'ephemera/other' })).rejects.toMatchObject({
    problem: { status: 400, detail: expect.stringContaining('imageAllow') as string },
  });
  await expect(ephemera.create('demo', { image: 'ephemera/other' })).rejects.toThrow('imageAllow');
});

test('keep leaves the instances to their deadlines', async () => {
  const { ephemera } = await embed(APPLICATIONS['node:http'] ?? expect.fail());
  const { id } = await ephemera.create('demo', { timeout: '20m' });
  await ephemera.close({ keep: true });
  expect(await (await fetch(`${replica}/demo/${id}/id`)).text()).toBe(id);
  await expect(ephemera.create('demo')).rejects.toThrow('Ephemera was closed in this process');
});

test('a call that is refused says why', async () => {
  const { ephemera } = await embed(APPLICATIONS['node:http'] ?? expect.fail());
  const unknown = await ephemera.create('none').catch((error: unknown) => error);
  expect(unknown).toBeInstanceOf(EphemeraError);
  expect((unknown as EphemeraError).problem.status).toBe(400);
  await expect(ephemera.create('demo', { timeout: '1500ms' })).rejects.toThrow('whole seconds');
  await expect(ephemera.create('demo', { env: { A: 'b' } })).rejects.toThrow('env');
  expect(() => ephemera.newContainer('ephemera/demo', 'soon')).toThrow(/timeout: .*duration/);
  const failing = ephemera.newContainer('ephemera/demo', '1m', {
    ...DEMO,
    command: ['sh', '-c', 'echo no reason; exit 3'],
  });
  await expect(failing.start()).rejects.toThrow(/no reason/);
});
