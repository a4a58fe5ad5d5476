import { type RouteDeclaration, adminRoutes } from '@ephemera/contract';
import { guardCases, sendCase } from '@ephemera/test-support';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { publicRoutes } from '../src/public-routes.ts';
import { BEARER, type OpenPorts, openPorts } from './open-ports.ts';

// Sends to every route of both ports every request that its guard must refuse. Cases for a new
// route come from its declaration.

const ADMIN: readonly RouteDeclaration[] = Object.values(adminRoutes);
const PUBLIC: readonly RouteDeclaration[] = Object.values(publicRoutes('demo'));

let ports: OpenPorts;
beforeAll(async () => {
  ports = await openPorts('templates: { demo: { image: ephemera/demo, port: 8080 } }');
});
afterAll(() => ports.stop());

const namesOf = (routes: readonly RouteDeclaration[]) =>
  routes.map(({ method, path }) => `${method} ${path}`).sort();

test('every declared route is mounted, and every mounted route is declared and documented', async () => {
  expect(namesOf(ports.adminRoutes)).toEqual(namesOf(ADMIN));
  expect(namesOf(ports.publicRoutes)).toEqual(namesOf(PUBLIC));
  // Without a token: the description is open.
  const answer = await fetch(`${ports.adminUrl}/openapi.json`);
  const { paths } = (await answer.json()) as { paths: Record<string, Record<string, object>> };
  const documented = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(documented.sort()).toEqual(namesOf([...ADMIN, ...PUBLIC]));
});

describe('the admin port', () => {
  test.each(guardCases(ADMIN, 'refuse'))('$name: $status', async (sent) => {
    const answer = await sendCase(ports.adminUrl, sent, BEARER);
    expect(answer).toMatchObject({ status: sent.status, type: 'application/problem+json' });
    for (const name of sent.names) expect(answer.detail).toContain(name);
    if (sent.status === 405) expect(answer.allow).not.toBe('');
  });

  const guarded = ADMIN.filter(({ token }) => token === true);
  test.each(guardCases(guarded, 'refuse'))('$name: 401 first, without a token', async (sent) => {
    expect((await sendCase(ports.adminUrl, sent)).status).toBe(401);
  });

  test('an unknown path is 404, and OPTIONS lists the allowed methods', async () => {
    for (const path of ['/v1/nothing', '/v1/instances/', '/v1', '/healthz/x']) {
      expect((await sendCase(ports.adminUrl, { method: 'GET', path }, BEARER)).status).toBe(404);
    }
    const options = { method: 'OPTIONS', path: '/v1/instances' };
    const answer = await sendCase(ports.adminUrl, options, BEARER);
    expect(answer).toMatchObject({ status: 200, allow: 'POST, HEAD, GET, DELETE' });
  });
});

describe('the public port', () => {
  test.each(guardCases(PUBLIC, 'ignore'))('$name: $status', async (sent) => {
    const answer = await sendCase(ports.publicUrl, sent);
    if (sent.status === undefined) {
      expect(answer).toEqual(await sendCase(ports.publicUrl, sent.plain));
      expect(answer.status).not.toBe(400);
      return;
    }
    expect(answer).toMatchObject({ status: sent.status });
    for (const name of sent.names) expect(answer.detail).toContain(name);
  });

  test('only a client with a token learns the names of templates', async () => {
    const ask = async (headers: Record<string, string>) =>
      (await fetch(`${ports.publicUrl}/demo/new?template=nowhere`, { headers })).text();
    const json = { accept: 'application/json' };
    expect(await ask({ ...json, ...BEARER })).toContain('Available templates: demo.');
    for (const headers of [json, { accept: 'text/html', 'sec-fetch-mode': 'navigate' }]) {
      const text = await ask(headers);
      expect(text).toContain('There is no template with this name.');
      expect(text).not.toContain('demo');
    }
  });

  test('unknown parameters of a link are ignored, known ones are checked', async () => {
    const ask = (query: string) =>
      fetch(`${ports.publicUrl}/demo/new${query}`, { redirect: 'manual' });
    expect((await ask('?utm_source=x&template=demo')).status).toBe(307);
    expect((await ask('?redirect=false&utm_source=x')).status).toBe(200);
    const wrong = await ask('?redirect=no&template=demo&template=x');
    expect(wrong.status).toBe(400);
    const { detail } = (await wrong.json()) as { detail: string };
    expect(detail).toMatch(/parameter template: given 2 times.*parameter redirect: must be 1 or 0/);
  });
});

test('every response matched its declaration', () => {
  expect(ports.bugs).toEqual([]);
});
