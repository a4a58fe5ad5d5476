import { hashToken } from '@ephemera/http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BEARER, DOMAIN, type OpenPorts, openPorts } from './open-ports.ts';

// The control API of stable names: who may change them, and what a repeated request does. There is no
// worker, so every instance stays pending.

const [MAKER, OTHER, READER] = ['m', 'o', 'r'].map((letter) => letter.repeat(32)) as [
  string,
  string,
  string,
];
const TEMPLATES = `
default: demo
templates:
  demo: { image: ephemera/demo, port: 8080, access: token }
`;

let ports: OpenPorts;
beforeAll(async () => {
  ports = await openPorts(TEMPLATES, {
    visitorsUrl: `http://app.${DOMAIN}`,
    entries: {
      maker: { hash: [hashToken(MAKER)], scopes: ['create'] },
      other: { hash: [hashToken(OTHER)], scopes: ['create'] },
      reader: { hash: [hashToken(READER)], scopes: ['read'] },
    },
  });
});
afterAll(async () => {
  await ports.stop();
  expect(ports.bugs).toEqual([]);
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

async function send(
  method: string,
  path: string,
  { token, headers = {} }: { token?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const response = await fetch(`${ports.adminUrl}/v1/names${path}`, {
    method,
    headers: {
      ...(token === undefined ? BEARER : { authorization: `Bearer ${token}` }),
      ...(method === 'PUT' && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(method === 'PUT' && { body: '{}' }),
  });
  const text = await response.text();
  const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
  return { status: response.status, headers: response.headers, body };
}

test('only its owner and an administrator may change a name', async () => {
  expect((await send('PUT', '/pr-1', { token: MAKER })).status).toBe(202);
  for (const method of ['PUT', 'DELETE', 'GET']) {
    const refused = await send(method, '/pr-1', { token: OTHER });
    expect([method, refused.status]).toEqual([method, 403]);
  }
  for (const method of ['PUT', 'DELETE']) {
    expect((await send(method, '/pr-1', { token: READER })).status).toBe(403);
  }
  expect((await send('GET', '/pr-1', { token: READER })).status).toBe(200);
  expect((await send('GET', '/pr-1', { token: MAKER })).status).toBe(200);
  expect((await send('GET', '', { token: MAKER })).status).toBe(403);
  expect((await send('PUT', '/pr-1')).status).toBe(202);
  // The administrator has not taken it over.
  expect((await send('DELETE', '/pr-1', { token: MAKER })).status).toBe(204);
  expect((await send('DELETE', '/pr-1', { token: MAKER })).status).toBe(404);
});

test('a repeated request with its key starts no second instance', async () => {
  const headers = { 'idempotency-key': 'build-1' };
  const first = await send('PUT', '/pr-2', { headers });
  const again = await send('PUT', '/pr-2', { headers });
  expect(again.headers.get('idempotency-replayed')).toBe('true');
  expect(again.body).toMatchObject({
    id: first.body['id'],
    generation: first.body['generation'],
    accessToken: first.body['accessToken'],
  });
  expect((await send('PUT', '/pr-3', { headers })).status).toBe(422);
});

test('the link of a guarded instance opens it under its name', async () => {
  const { body } = await send('PUT', '/pr-4');
  const url = 'http://127.0.0.1/demo/@pr-4/';
  expect(body).toMatchObject({ url, baseUrl: url, name: 'pr-4', isCurrent: true });
  expect(body['link']).toBe(`${url}?ephemera-token=${String(body['accessToken'])}`);
});

test('an instance that is superseded while it starts is ended', async () => {
  const first = await send('PUT', '/pr-5');
  await send('PUT', '/pr-5');
  const instance = await ports.instances.get(String(first.body['id']));
  expect(instance).toMatchObject({ state: 'gone', reason: 'replaced' });
});

test('the ETag is that of the own creation, not of one that followed', async () => {
  const key = { 'idempotency-key': 'build-7' };
  const first = await send('PUT', '/tagged', { headers: key });
  const id = String(first.body['id']);
  const generation = Number(first.body['generation']);
  expect(first.headers.get('etag')).toBe(`"${generation}"`);
  await ports.instances.assignToHost(id, generation, 'a');
  await ports.instances.markReady(id, generation, '10.0.0.7');
  const second = await send('PUT', '/tagged');
  expect(second.headers.get('etag')).toBe(`"${String(second.body['generation'])}"`);

  const again = await send('PUT', '/tagged', { headers: key });
  expect(again).toMatchObject({ status: 201, body: { id, generation, isCurrent: true } });
  expect(again.headers.get('etag')).toBe(`"${generation}"`);
  const stale = { 'if-match': again.headers.get('etag') ?? '' };
  expect((await send('PUT', '/tagged', { headers: stale })).status).toBe(412);

  const next = String(second.body['id']);
  await ports.instances.assignToHost(next, Number(second.body['generation']), 'a');
  await ports.instances.markReady(next, Number(second.body['generation']), '10.0.0.8');
  const replaced = await send('PUT', '/tagged', { headers: key });
  expect(replaced).toMatchObject({ status: 202, body: { id, generation, isCurrent: false } });
  expect(replaced.headers.get('etag')).toBeNull();
});

test('the ETag stays that of the creation once the instance has ended', async () => {
  const headers = { 'idempotency-key': 'build-8' };
  const first = await send('PUT', '/ended', { headers });
  await ports.instances.startDraining(String(first.body['id']), 'request');
  const again = await send('PUT', '/ended', { headers });
  expect(again).toMatchObject({ status: 202, body: { generation: first.body['generation'] } });
  expect(again.headers.get('etag')).toBe(first.headers.get('etag'));
  const tag = again.headers.get('etag') ?? '';
  expect((await send('PUT', '/ended', { headers: { 'if-match': tag } })).status).toBe(202);
});

test('a name that is the host of the public URL is refused', async () => {
  const refused = await send('PUT', '/app');
  expect(refused).toMatchObject({ status: 400, body: { faults: [{ path: 'name' }] } });
  expect((await send('GET', '/app')).status).toBe(404);
});

test('a name is deleted only under its condition, and its instances end with it', async () => {
  const first = await send('PUT', '/deleted', { token: MAKER });
  expect(first.headers.get('idempotency-replayed')).toBeNull();
  const id = String(first.body['id']);
  const generation = Number(first.body['generation']);
  await ports.instances.assignToHost(id, generation, 'a');
  await ports.instances.markReady(id, generation, '10.0.0.9');
  const second = await send('PUT', '/deleted', { token: MAKER });
  const next = String(second.body['id']);
  expect((await send('GET', '/deleted')).body).toMatchObject({
    instance: { id },
    next: { id: next },
  });
  expect((await send('GET', '?limit=500')).body['items']).toContainEqual(
    expect.objectContaining({
      name: 'deleted',
      instance: expect.objectContaining({ id }) as object,
    }),
  );

  const stale = { 'if-match': `"${generation}"` };
  const refused = await send('DELETE', '/deleted', { token: MAKER, headers: stale });
  expect(refused.status).toBe(412);
  expect(refused.body['detail']).toContain(`generation ${String(second.body['generation'])}`);
  const foreign = await send('DELETE', '/deleted', { token: OTHER });
  expect(foreign.status).toBe(403);
  expect(foreign.body['detail']).toContain('admin');
  expect((await send('GET', '/deleted')).status).toBe(200);

  const current = { 'if-match': second.headers.get('etag') ?? '' };
  expect((await send('DELETE', '/deleted', { token: MAKER, headers: current })).status).toBe(204);
  for (const one of [id, next]) {
    const ended = await ports.instances.get(one);
    expect([one, ended?.state]).toEqual([one, one === id ? 'draining' : 'gone']);
  }
  const absent = await send('DELETE', '/deleted', { token: MAKER });
  expect(absent.status).toBe(404);
  expect(absent.body['detail']).toContain('name');
});

test('a list has pages', async () => {
  for (const name of ['list-a', 'list-b', 'list-c']) await send('PUT', `/${name}`);
  const first = await send('GET', '?limit=2&cursor=list');
  expect(first.body).toMatchObject({
    items: [{ name: 'list-a' }, { name: 'list-b' }],
    nextCursor: 'list-b',
  });
  const rest = await send('GET', '?cursor=list-b');
  expect((rest.body['items'] as { name: string }[])[0]).toMatchObject({ name: 'list-c' });
});

test('a certificate may be obtained for a name that leads to a living instance', async () => {
  await send('PUT', '/pr-6');
  const ask = async (label: string) => {
    const domain = `${label}.${DOMAIN.replace(/:\d+$/, '')}`;
    return (await fetch(`${ports.adminUrl}/tls/ask?domain=${domain}`)).status;
  };
  expect(await ask('pr-6')).toBe(200);
  // Its ports are known only when it is ready.
  for (const label of ['pr-7', 'other--pr-6', 'a.pr-6']) expect(await ask(label)).toBe(404);
  await send('DELETE', '/pr-6');
  await expect.poll(() => ask('pr-6')).toBe(404);
});

test('the pages about an instance have no address by its name', async () => {
  await send('PUT', '/pr-8');
  // Without the access token, a client would learn from them that the name exists.
  for (const path of ['', '/', '/events', '/countdown.js', '/renew', '/end']) {
    const method = path === '/renew' || path === '/end' ? 'POST' : 'GET';
    const answer = await fetch(`${ports.publicUrl}/demo/-/@pr-8${path}`, { method });
    expect([path, answer.status]).toEqual([path, 404]);
  }
});
