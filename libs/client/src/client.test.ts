import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { freePort } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import {
  ConnectionError,
  Instance,
  StartFailedError,
  StreamCutError,
  UnexpectedResponseError,
  createClient,
  isProblem,
} from './index.ts';
import type { Client, StartProgress, ProblemError } from './index.ts';

interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A control API that answers as the listener does. Records the requests. */
async function serve(
  listener: (received: Received, response: ServerResponse, count: number) => void,
): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const { method = '', url = '', headers } = request;
      received.push({ method, url, headers, body });
      listener({ method, url, headers, body }, response, received.length);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

function answer(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  response.writeHead(status, { 'content-type': type, ...headers }).end(JSON.stringify(body));
}

const problem = (kind: string, status: number, more = {}) => ({
  type: `urn:ephemera:problem:${kind}`,
  title: 'Title',
  status,
  detail: 'Detail.',
  ...more,
});

const instance = (state: string, more = {}) => ({
  id: 'a1',
  url: 'http://demo/a1/',
  status: { state, ...more },
});

test('reads all pages of a list, with the token and the filter', async () => {
  const { url, received } = await serve(({ url: path }, response) => {
    const isLast = path.includes('cursor=7');
    answer(response, 200, {
      items: [{ ...instance('ready'), id: isLast ? 'b' : 'a' }],
      ...(!isLast && { nextCursor: '7' }),
    });
  });
  const ids: string[] = [];
  const client = createClient({ url, token: 'secret' });
  const filter = { state: ['ready', 'paused'], metadata: { owner: 'ada', course: 'a=1' } } as const;
  for await (const item of client.list(filter)) ids.push(item.id);
  expect(ids).toEqual(['a', 'b']);
  expect(received.map(({ headers }) => headers.authorization)).toEqual([
    'Bearer secret',
    'Bearer secret',
  ]);
  const { searchParams } = new URL(received[1]?.url ?? '', url);
  expect(searchParams.get('state')).toBe('ready,paused');
  expect(searchParams.getAll('metadata')).toEqual(['owner=ada', 'course=a=1']);
  expect(searchParams.get('cursor')).toBe('7');
});

test('a creation that is repeated has the same key, and reports each step once', async () => {
  const states = [
    instance('pending', { message: 'queued at position 2' }),
    instance('starting', { message: 'pulling the image' }),
    instance('starting', { message: 'pulling the image' }),
    instance('ready'),
  ];
  const { url, received } = await serve(({ method }, response, count) => {
    // The connection breaks, then Redis is unavailable for a moment.
    if (count === 1) response.destroy();
    else if (count === 2) {
      answer(response, 503, problem('store_unavailable', 503), { 'retry-after': '0' });
    } else answer(response, method === 'POST' ? 202 : 200, states.shift());
  });
  const steps: StartProgress[] = [];
  const started = await createClient({ url }).create(
    { template: 'demo' },
    { onProgress: (step) => steps.push(step) },
  );
  expect(started.state).toBe('ready');
  expect(steps.map(({ state, message }) => [state, message])).toEqual([
    ['pending', 'queued at position 2'],
    ['starting', 'pulling the image'],
    ['ready', undefined],
  ]);
  const creations = received.filter(({ method }) => method === 'POST');
  expect(creations).toHaveLength(3);
  const keys = new Set(creations.map(({ headers }) => headers['idempotency-key']));
  expect([...keys]).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
});

test.each([
  ['fails', instance('failed', { message: 'no such image' }), 120_000, /a1 .*no such image/],
  ['is not ready in time', instance('starting'), 1, /a1 was not ready in time; it is starting/],
])('an instance that %s is ended', async (_, state, waitMs, message) => {
  const { url, received } = await serve(({ method }, response) => {
    answer(response, method === 'GET' ? 200 : 202, method === 'GET' ? state : instance('starting'));
  });
  const error = await createClient({ url })
    .create({}, { waitMs })
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(StartFailedError);
  expect((error as StartFailedError).message).toMatch(message);
  expect((error as StartFailedError).instance.status.state).toBe(state.status.state);
  expect(received.at(-1)).toMatchObject({ method: 'DELETE', url: '/v1/instances/a1' });
});

test('an instance that does not become ready stays if it is to be kept', async () => {
  const { url, received } = await serve((_, response) =>
    answer(response, 202, instance('pending')),
  );
  const creation = createClient({ url }).create({}, { waitMs: 1, keep: true });
  await expect(creation).rejects.toThrow(StartFailedError);
  expect(received.map(({ method }) => method)).not.toContain('DELETE');
});

test('an aborted creation ends the instance and rejects with the reason', async () => {
  const { url, received } = await serve((_, response) => {
    answer(response, 202, instance('pending'));
  });
  const aborter = new AbortController();
  const reason = new Error('no longer needed');
  const creation = createClient({ url }).create(
    {},
    { signal: aborter.signal, onProgress: () => aborter.abort(reason) },
  );
  await expect(creation).rejects.toBe(reason);
  expect(received.at(-1)).toMatchObject({ method: 'DELETE' });
});

test('a creation that is aborted before its response ends the instance', async () => {
  const aborter = new AbortController();
  const reason = new Error('no longer needed');
  const { url, received } = await serve(({ method }, response) => {
    if (method !== 'POST') {
      answer(response, 202, instance('draining'));
      return;
    }
    aborter.abort(reason);
    // After the abort has reached the client.
    setImmediate(() => answer(response, 202, instance('pending')));
  });
  const creation = createClient({ url }).create({}, { signal: aborter.signal });
  await expect(creation).rejects.toBe(reason);
  expect(received.map(({ method }) => method)).toEqual(['POST', 'DELETE']);
});

test('a creation that is aborted before its request sends none', async () => {
  const { url, received } = await serve((_, response) => {
    answer(response, 202, instance('pending'));
  });
  const reason = new Error('no longer needed');
  const creation = createClient({ url }).create({}, { signal: AbortSignal.abort(reason) });
  await expect(creation).rejects.toBe(reason);
  expect(received).toEqual([]);
});

test('an abort is not followed by a second attempt', async () => {
  const aborter = new AbortController();
  const reason = new Error('no longer needed');
  const { url, received } = await serve((_, response) => {
    aborter.abort(reason);
    response.destroy();
  });
  const creation = createClient({ url }).create({}, { signal: aborter.signal });
  await expect(creation).rejects.toBe(reason);
  expect(received.map(({ method }) => method)).toEqual(['POST']);
});

test('await using ends the instance; one that has ended is no error', async () => {
  const ends = [202, 410, 404];
  const { url, received } = await serve(({ method }, response) => {
    if (method !== 'DELETE') {
      answer(response, 201, { ...instance('ready'), link: 'http://l/' });
      return;
    }
    const status = ends.shift() ?? 500;
    answer(
      response,
      status,
      status === 202
        ? instance('draining')
        : problem(status === 410 ? 'gone' : 'not_found', status),
    );
  });
  const client = createClient({ url });
  for (const _ of [1, 2, 3]) {
    await using started = await client.create();
    expect(started).toBeInstanceOf(Instance);
    expect(started.url).toBe('http://l/');
    expect(started.data).not.toHaveProperty('link');
  }
  expect(received.filter(({ method }) => method === 'DELETE')).toHaveLength(3);
  // By its id, an unknown instance is an error.
  ends.push(404);
  await expect(client.kill('a1')).rejects.toMatchObject({ kind: 'not_found' });
});

test('a problem has its kind, its fields and the time to wait', async () => {
  const faults = [{ path: 'timeout', detail: 'must be a number', in: 'body' }];
  const { url } = await serve(({ url: path }, response) => {
    if (path.endsWith('renew')) answer(response, 400, problem('invalid', 400, { faults }));
    else answer(response, 429, problem('full', 429, { limit: 'hosts' }), { 'retry-after': '10' });
  });
  const client = createClient({ url });
  const invalid = await client.renew('a1', { timeout: 1 }).catch((error: unknown) => error);
  expect(isProblem(invalid, 'invalid')).toBe(true);
  expect(isProblem(invalid, 'gone')).toBe(false);
  expect((invalid as ProblemError).problem.faults).toEqual(faults);
  const full = await client.create().catch((error: unknown) => error);
  expect(full).toMatchObject({ kind: 'full', status: 429, retryAfterMs: 10_000 });
  expect((full as ProblemError).message).toBe('Title: Detail.');
});

test('what cannot help or could act twice is not repeated', async () => {
  const { url, received } = await serve((_, response) => {
    answer(response, 503, problem('store_unavailable', 503), { 'retry-after': '3600' });
  });
  const client = createClient({ url });
  await expect(client.stats()).rejects.toMatchObject({ kind: 'store_unavailable' });
  expect(received).toHaveLength(1);
  const actions = [(api: Client) => api.createLink(), (api: Client) => api.killAll()];
  for (const act of actions) {
    const cut = await serve((_, response) => response.destroy());
    await expect(act(createClient({ url: cut.url }))).rejects.toThrow(ConnectionError);
    expect(cut.received).toHaveLength(1);
  }
});

test('distinguishes no server, a slow server and another server', async () => {
  const nobody = `http://127.0.0.1:${await freePort()}`;
  await expect(createClient({ url: nobody, retries: 0 }).stats()).rejects.toThrow(
    `No control API answers at ${nobody} (ECONNREFUSED)`,
  );
  const slow = await serve(() => undefined);
  const late = createClient({ url: slow.url, timeoutMs: 50, retries: 1 }).stats();
  await expect(late).rejects.toThrow(`${slow.url} did not answer within 0.05 s`);
  await expect(late).rejects.toBeInstanceOf(ConnectionError);
  expect(slow.received).toHaveLength(2);
  for (const status of [200, 404]) {
    const other = await serve((_, response) => response.writeHead(status).end('<html>'));
    await expect(createClient({ url: other.url, retries: 0 }).stats()).rejects.toThrow(
      UnexpectedResponseError,
    );
  }
  expect(() => createClient({ url: 'localhost' })).toThrow(TypeError);
});

test('a log that breaks off is a lost connection; an abort has its own reason', async () => {
  const { url } = await serve(({ url: path }, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' }).write('line\n', () => {
      if (path.includes('cut')) response.destroy();
    });
  });
  const aborter = new AbortController();
  const read = async (id: string) => {
    for await (const text of createClient({ url }).logs(id, { signal: aborter.signal })) {
      expect(text).toBe('line\n');
      if (id === 'a1') aborter.abort(new Error('enough'));
    }
  };
  const cut = await read('cut').catch((error: unknown) => error);
  expect(cut).toBeInstanceOf(ConnectionError);
  expect(cut).toBeInstanceOf(StreamCutError);
  expect((cut as Error).message).toMatch(/^The response broke off before its end \(.+\)$/);
  await expect(read('a1')).rejects.toThrow('enough');
});

test('the log arrives in pieces, and leaving the loop ends the request', async () => {
  let isClosed = false;
  const { url, received } = await serve((_, response) => {
    response.on('close', () => (isClosed = true));
    response.writeHead(200, { 'content-type': 'text/plain' }).write(Buffer.from([0xc3]));
    response.write(Buffer.from([0xa4, 0x0a]));
  });
  let log = '';
  for await (const piece of createClient({ url }).logs('a1', { follow: true, tail: 5 })) {
    log += piece;
    if (log.endsWith('\n')) break;
  }
  expect(log).toBe('ä\n');
  expect(received[0]?.url).toBe('/v1/instances/a1/logs?follow=1&tail=5');
  await expect.poll(() => isClosed).toBe(true);
});
