import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';

import { freePort } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';

import { ApiUnavailableError, createAdminApi, explain } from './admin-api.ts';

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('reads all pages of a list, with the token', async () => {
  const seen: unknown[] = [];
  const url = await serve((request, response) => {
    seen.push([request.url, request.headers.authorization]);
    const page = request.url?.endsWith('=7')
      ? { items: [{ id: 'b' }] }
      : { items: [{ id: 'a' }], nextCursor: '7' };
    response.end(JSON.stringify(page));
  });
  const instances = await createAdminApi(url, 'secret').list();
  expect(instances.map(({ id }) => id)).toEqual(['a', 'b']);
  expect(seen).toEqual([
    ['/v1/instances', 'Bearer secret'],
    ['/v1/instances?cursor=7', 'Bearer secret'],
  ]);
});

test('killing a dead instance succeeds, killing an unknown one fails', async () => {
  const problem = JSON.stringify({ title: 'Not found', detail: 'There is no such instance.' });
  const url = await serve((request, response) => {
    response.writeHead(request.url?.endsWith('dead') ? 410 : 404).end(problem);
  });
  const api = createAdminApi(url, 'secret');
  await api.kill('dead');
  await expect(api.kill('never')).rejects.toThrow('Not found: There is no such instance.');
});

test('distinguishes no server, a wrong token and another server on the port', async () => {
  const nobody = `http://127.0.0.1:${await freePort()}`;
  await expect(createAdminApi(nobody, undefined).list()).rejects.toThrow(
    `No control API answers at ${nobody} (ECONNREFUSED).`,
  );
  expect(explain(401, '{}')).toContain('EPHEMERA_ADMIN_TOKEN');
  expect(explain(502, '<html>')).toBe('The control API answered 502.');
});

test('a stream of events continues after its last event when it is cut', async () => {
  const after: unknown[] = [];
  const parts = [
    'retry: 1\nid: 1-0\n:\n\nid: 2-0\nevent: ready\nda',
    'ta: {"seq":"2-0"}\n\nid: 3-0\n:\n\n',
    'event: gap\ndata: {"after":"3-0"}\n\nid: 4-0\nevent: gone\ndata: {"seq":"4-0"}\n\n',
  ];
  const url = await serve((request, response) => {
    after.push(request.headers['last-event-id']);
    expect(request.url).toBe('/v1/events?type=gone');
    if (after.length === 1) {
      response.write(parts[0]);
      response.write(parts[1], () => response.destroy());
    } else if (after.length === 2) {
      // The replica restarts.
      response.writeHead(503).end('{"title":"Unavailable"}');
    } else if (after.length === 3) {
      response.end(parts[2]);
    } else {
      response.writeHead(403).end('{"title":"Forbidden"}');
    }
  });
  const seen: string[] = [];
  const query = new URLSearchParams({ type: 'gone' });
  const events = createAdminApi(url, 'secret').events(
    query,
    ({ seq }) => seen.push(seq),
    () => seen.push('gap'),
  );
  await expect(events).rejects.toThrow('Forbidden');
  expect(after).toEqual([undefined, '3-0', '3-0', '4-0']);
  expect(seen).toEqual(['2-0', 'gap', '4-0']);
});

test('a stream of events that never began fails at once', async () => {
  const url = await serve((_request, response) => response.writeHead(503).end('{"title":"Away"}'));
  const ignore = () => undefined;
  for (const [base, message] of [
    [url, 'Away'],
    [`http://127.0.0.1:${await freePort()}`, 'No control API answers'],
  ] as const) {
    const events = createAdminApi(base, 'secret').events(new URLSearchParams(), ignore, ignore);
    await expect(events).rejects.toThrow(message);
  }
});

test('a failure may be temporary where no complete answer or a 5xx came', async () => {
  const url = await serve((request, response) => {
    const name = request.url?.split('/').at(-1);
    if (name !== 'cut') response.writeHead(Number(name)).end('{"title":"Refused"}');
    else response.writeHead(200, { 'content-length': 100 }).write('{', () => response.destroy());
  });
  const api = createAdminApi(url, 'secret');
  await expect(api.host('cut')).rejects.toThrow('is incomplete');
  for (const name of ['cut', '500', '503']) {
    await expect(api.host(name), name).rejects.toBeInstanceOf(ApiUnavailableError);
  }
  for (const name of ['401', '403', '404']) {
    await expect(api.host(name), name).rejects.not.toBeInstanceOf(ApiUnavailableError);
  }
});

test('an error of whoever receives the events is not a cut stream', async () => {
  let connections = 0;
  const url = await serve((_request, response) => {
    connections++;
    response.write('id: 1-0\nevent: gone\ndata: {"seq":"1-0"}\n\n');
  });
  const fail = () => {
    throw new TypeError('a bug');
  };
  const events = createAdminApi(url, 'secret').events(new URLSearchParams(), fail, fail);
  await expect(events).rejects.toThrow('a bug');
  expect(connections).toBe(1);
});
