import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';

import { freePort } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';

import { ApiUnavailableError, StartUnfinishedError, createAdminApi } from './admin-api.ts';

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const problem = (kind: string, status: number, title: string, detail: string, more = {}) =>
  JSON.stringify({ type: `urn:ephemera:problem:${kind}`, title, status, detail, ...more });

test('killing a dead instance succeeds, killing an unknown one fails', async () => {
  const url = await serve((request, response) => {
    const isDead = request.url?.endsWith('dead') === true;
    const status = isDead ? 410 : 404;
    const text = problem(isDead ? 'gone' : 'not_found', status, 'Not found', 'There is none.');
    response.writeHead(status).end(text);
  });
  const api = createAdminApi(url, 'secret');
  await api.kill('dead');
  await expect(api.kill('never')).rejects.toThrow('Not found: There is none.');
});

test('distinguishes no server, a wrong token and another server on the port', async () => {
  const nobody = `http://127.0.0.1:${await freePort()}`;
  await expect(createAdminApi(nobody, undefined).list()).rejects.toThrow(
    `No control API answers at ${nobody} (ECONNREFUSED). Start Ephemera, or set EPHEMERA_ADMIN_URL.`,
  );
  const strict = await serve((_, response) => {
    response.writeHead(401).end(problem('unauthorized', 401, 'Unauthorized', 'A token, please.'));
  });
  await expect(createAdminApi(strict, 'x').stats()).rejects.toThrow('EPHEMERA_ADMIN_TOKEN');
  const other = await serve((_, response) => response.writeHead(502).end('<html>'));
  await expect(createAdminApi(other, 'x').stats()).rejects.toThrow('The control API answered 502.');
});

test('a refusal is shown with its hint', async () => {
  const hint = { code: 'no_exec', text: 'The program may not run.', cure: 'tmpfs:\n  /tmp: {}' };
  const url = await serve((_, response) => {
    response.writeHead(410).end(problem('gone', 410, 'Gone', 'It exited.', { hint }));
  });
  await expect(createAdminApi(url, 'x').usage('a1')).rejects.toThrow(
    'Gone: It exited.\nHint: The program may not run.\nIn the template:\n    tmpfs:\n      /tmp: {}',
  );
});

test('a start that fails is an error, one that lasts longer has the instance', async () => {
  const created = (status: object) => JSON.stringify({ id: 'a1', link: 'http://l/', status });
  const methods: (string | undefined)[] = [];
  const serveStart = (status: object) =>
    serve(({ method }, response) => {
      methods.push(method);
      response
        .writeHead(method === 'POST' ? 202 : 200)
        .end(created(method === 'POST' ? { state: 'pending' } : status));
    });
  const failed = await serveStart({
    state: 'failed',
    reason: 'start_failed',
    message: 'No image.',
  });
  await expect(createAdminApi(failed, 'x').create({}, 60)).rejects.toThrow(
    'Start failed: No image.',
  );
  const slow = await serveStart({ state: 'starting' });
  const late = await createAdminApi(slow, 'x')
    .create({}, 0.001)
    .catch((error: unknown) => error);
  expect(late).toBeInstanceOf(StartUnfinishedError);
  expect(late).toMatchObject({
    message: 'Instance a1 was not ready in time; it is starting',
    instance: { id: 'a1', link: 'http://l/', status: { state: 'starting' } },
  });
  const ended = await serveStart({ state: 'draining', reason: 'request' });
  await expect(createAdminApi(ended, 'x').create({}, 60)).rejects.toThrow(
    /^Instance a1 ended before it was ready: request$/,
  );
  expect(await createAdminApi(slow, 'x').create({}, 0)).toMatchObject({
    status: { state: 'pending' },
    link: 'http://l/',
  });
  // The command line says where to watch the instance, so it must stay.
  expect(methods).not.toContain('DELETE');
});

test('reads that fail for a moment do not end a start, and a refusal keeps the link', async () => {
  const start = (refusal?: number) => {
    let reads = 0;
    return serve(({ method }, response) => {
      const state = reads > 2 ? 'ready' : 'starting';
      if (method === 'GET') reads++;
      if (method === 'GET' && refusal !== undefined)
        response.writeHead(refusal).end(problem('forbidden', refusal, 'Forbidden', 'No.'));
      else if (reads === 1) response.destroy();
      else if (reads === 2)
        response.writeHead(503).end(problem('store_unavailable', 503, 'Unavailable', 'No.'));
      else
        response
          .writeHead(202)
          .end(JSON.stringify({ id: 'a1', link: 'http://l/', status: { state } }));
    });
  };
  const started = await createAdminApi(await start(), 'x').create({}, 60);
  expect(started).toMatchObject({ id: 'a1', link: 'http://l/', status: { state: 'ready' } });
  const refused = createAdminApi(await start(403), 'x').create({}, 60);
  await expect(refused).rejects.toMatchObject({
    name: 'StartUnfinishedError',
    message: 'Forbidden: No.',
    instance: { id: 'a1', link: 'http://l/' },
  });
});

test('a stream of events passes on events and gaps, and fails with a sentence', async () => {
  const nobody = `http://127.0.0.1:${await freePort()}`;
  const ignore = () => undefined;
  await expect(createAdminApi(nobody, 'x').events({}, ignore, ignore)).rejects.toThrow(
    'No control API answers',
  );
  let openings = 0;
  const url = await serve((_, response) => {
    openings++;
    if (openings === 1) response.end('retry: 1\nevent: gap\ndata: {}\n\ndata: {"seq":"1-0"}\n\n');
    else response.writeHead(403).end(problem('forbidden', 403, 'Forbidden', 'No.'));
  });
  const seen: string[] = [];
  const events = createAdminApi(url, 'x').events(
    {},
    ({ seq }) => seen.push(seq),
    () => seen.push('gap'),
  );
  await expect(events).rejects.toThrow('Forbidden: No.');
  expect(seen).toEqual(['gap', '1-0']);
});

test('a failure may be temporary where no complete answer or a 5xx came', async () => {
  const url = await serve((request, response) => {
    const name = request.url?.split('/').at(-1);
    if (name === 'cut') {
      response.writeHead(200, { 'content-length': 100 }).write('{', () => response.destroy());
    } else {
      response.writeHead(Number(name)).end(problem('internal', Number(name), 'Refused', 'No.'));
    }
  });
  const api = createAdminApi(url, 'secret');
  for (const name of ['cut', '500', '503']) {
    await expect(api.host(name), name).rejects.toBeInstanceOf(ApiUnavailableError);
  }
  for (const name of ['401', '403', '404']) {
    await expect(api.host(name), name).rejects.not.toBeInstanceOf(ApiUnavailableError);
  }
});

test('a log that breaks off is a failure of one line', async () => {
  const url = await serve((_, response) => {
    response.writeHead(200).write('line\n', () => response.destroy());
  });
  const seen: string[] = [];
  const reading = createAdminApi(url, 'x').logs('a1', { follow: true }, (text) => seen.push(text));
  await expect(reading).rejects.toBeInstanceOf(ApiUnavailableError);
  await expect(reading).rejects.toThrow(/^The response broke off .*\)\. Repeat the command\.$/);
  expect(seen).toEqual(['line\n']);
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
  const events = createAdminApi(url, 'secret').events({}, fail, fail);
  await expect(events).rejects.toThrow('a bug');
  expect(connections).toBe(1);
});
