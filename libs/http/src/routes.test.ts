import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { defineRoute } from '@ephemera/contract';
import { ApiError } from '@ephemera/domain';
import Koa from 'koa';
import { expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { type BoundRoute, type MountOptions, mountRoutes, route } from './routes.ts';

const responses = { 200: { description: 'The input' } };
const params = z.object({ id: z.string() });
const declared = {
  list: defineRoute({ method: 'GET', path: '/v1/items', summary: 'List', responses }),
  add: defineRoute({ method: 'POST', path: '/v1/items', summary: 'Add', responses }),
  read: defineRoute({ method: 'GET', path: '/v1/items/{id}', summary: 'Read', params, responses }),
  start: defineRoute({
    method: 'GET',
    path: '/start.now',
    summary: 'Start',
    refusesHead: true,
    responses,
  }),
  root: defineRoute({ method: 'GET', path: '/', summary: 'Root', responses }),
};

async function serve(options: MountOptions) {
  const handled = Object.values(declared).map((declaration): BoundRoute =>
    route(declaration, (ctx, { params: input }) => {
      ctx.body = { route: declaration.summary, params: input };
    }),
  );
  const app = new Koa();
  app.use(async (ctx, next) => {
    await next().catch((error: unknown) => {
      const failure = error instanceof ApiError ? error.failure : undefined;
      if (failure?.kind !== 'method_not_allowed') throw error;
      ctx.set('allow', failure.allow);
      ctx.status = 405;
    });
  });
  app.use(mountRoutes(handled, options));
  app.use((ctx) => {
    ctx.status = 418;
  });
  const handle = app.callback();
  const server = createServer((req, res) => void handle(req, res));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return async (method: string, path: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method });
    const text = await answer.text();
    const isJson = text.startsWith('{');
    return {
      status: answer.status,
      allow: answer.headers.get('allow'),
      body: isJson ? (JSON.parse(text) as unknown) : text,
    };
  };
}

const EXACT = { unknown: 'refuse', exact: true } as const;
const LENIENT = { unknown: 'ignore', exact: false } as const;

test('a path parameter is one whole segment and is decoded once', async () => {
  const send = await serve(EXACT);
  const read = async (path: string) => (await send('GET', path)).body;
  expect(await read('/v1/items/a.b')).toEqual({ route: 'Read', params: { id: 'a.b' } });
  expect(await read('/v1/items/a%2fb')).toEqual({ route: 'Read', params: { id: 'a/b' } });
  expect(await read('/v1/items/%252f')).toEqual({ route: 'Read', params: { id: '%2f' } });
  expect(await read('/v1/items/%zz')).toEqual({ route: 'Read', params: { id: '%zz' } });
});

test('an exact mount matches neither another case nor a trailing slash', async () => {
  const send = await serve(EXACT);
  for (const path of ['/V1/items', '/v1/items/', '/v1/items/a/', '/v1/items/a/b', '/startxnow']) {
    expect((await send('GET', path)).status, path).toBe(418);
  }
});

test('a lenient mount matches both, but a doubled slash is another path', async () => {
  const send = await serve(LENIENT);
  expect((await send('GET', '/Start.NOW/')).status).toBe(200);
  expect((await send('GET', '/')).status).toBe(200);
  expect((await send('GET', '//')).status).toBe(418);
  expect((await send('GET', '/startxnow')).status).toBe(418);
});

test('another method is 405 with Allow, and OPTIONS answers with Allow', async () => {
  const send = await serve(EXACT);
  const methods = (allow: string | null) => allow?.split(', ').sort();
  const refused = await send('PUT', '/v1/items');
  expect(refused.status).toBe(405);
  expect(methods(refused.allow)).toEqual(['GET', 'HEAD', 'POST']);
  const options = await send('OPTIONS', '/v1/items');
  expect(options).toMatchObject({ status: 200, body: '' });
  expect(methods(options.allow)).toEqual(['GET', 'HEAD', 'POST']);
});

test('HEAD answers as GET, unless the route refuses it', async () => {
  const send = await serve(EXACT);
  expect((await send('HEAD', '/v1/items')).status).toBe(200);
  expect(await send('HEAD', '/start.now')).toMatchObject({ status: 405, allow: 'GET' });
});
