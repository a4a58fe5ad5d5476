import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';

import { freePort } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';

import { createAdminApi, explain } from './admin-api.ts';

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
