import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { NamedInstance, StartFailedError, createClient } from './index.ts';

// Stable names, on connections that fail. The end-to-end tests have a real control API.

interface Received {
  readonly request: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

async function serve(
  listener: (request: string, response: ServerResponse, count: number) => void,
): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = [];
  const server = createServer((incoming, response) => {
    void text(incoming).then((body) => {
      const request = `${incoming.method} ${incoming.url}`;
      received.push({ request, headers: incoming.headers, body });
      listener(request, response, received.length);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

function answer(response: ServerResponse, body: object, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(response: ServerResponse, status: number, kind: string): void {
  const type = `urn:ephemera:problem:${kind}`;
  answer(response, { type, title: 'T', status, detail: 'D.' }, status);
}

const instance = (state: string) => ({ id: 'a1', url: 'http://demo/@pr-1/', status: { state } });
const created = {
  ...instance('starting'),
  ...{ link: 'http://l/', name: 'pr-1', generation: 8, isCurrent: false },
};

test('put waits, reports progress, and returns what only its response contains', async () => {
  const { url, received } = await serve((request, response) =>
    answer(response, request.startsWith('PUT') ? created : instance('ready')),
  );
  const states: string[] = [];
  const named = await createClient({ url }).names.put(
    'pr-1',
    { template: 'demo', drain: 5, ttl: 60 },
    { ifMatch: 7, onProgress: ({ state }) => states.push(state) },
  );
  expect(named).toBeInstanceOf(NamedInstance);
  expect(named).toMatchObject({ name: 'pr-1', generation: 8, url: 'http://l/', state: 'ready' });
  expect(states).toEqual(['starting', 'ready']);
  expect(received.map(({ request }) => request)).toEqual([
    'PUT /v1/names/pr-1',
    'GET /v1/instances/a1',
  ]);
  expect(JSON.parse(received[0]?.body ?? '')).toEqual({ template: 'demo', drain: 5, ttl: 60 });
  expect(received[0]?.headers['if-match']).toBe('"7"');
  expect(received[0]?.headers).not.toHaveProperty('if-none-match');
});

test('a retry has the same key, and each put another one', async () => {
  const { url, received } = await serve((_, response, count) => {
    if (count === 1) response.destroy();
    else answer(response, { ...created, ...instance('ready') });
  });
  const { names } = createClient({ url });
  await names.put('pr-1', {}, { ifNoneMatch: '*' });
  await names.put('pr-1', {}, { ifMatch: '*' });
  const [lost, again, other] = received.map(({ headers }) => headers);
  expect(lost?.['idempotency-key']).toMatch(/^[\da-f]{32}$/);
  expect(again?.['idempotency-key']).toBe(lost?.['idempotency-key']);
  expect(again?.['if-none-match']).toBe('*');
  expect(other?.['idempotency-key']).not.toBe(lost?.['idempotency-key']);
  expect(other?.['if-match']).toBe('*');
});

test('an instance that is late is not ended: the name may have moved to it', async () => {
  const { url, received } = await serve((request, response) =>
    answer(response, request.startsWith('PUT') ? created : instance('starting')),
  );
  const late = createClient({ url }).names.put('pr-1', {}, { waitMs: 1 });
  await expect(late).rejects.toThrow(StartFailedError);
  expect(received.map(({ request }) => request)).not.toContain('DELETE /v1/instances/a1');
});

test('the time of the creation is part of the wait', async () => {
  const { url, received } = await serve((request, response) => {
    if (request.startsWith('PUT')) setTimeout(() => answer(response, created), 1_100);
    else answer(response, instance('starting'));
  });
  const late = createClient({ url }).names.put('pr-1', {}, { waitMs: 1_000 });
  await expect(late).rejects.toThrow(StartFailedError);
  // Nothing is left of it but the last reads. A whole second has five.
  expect(received.length).toBeLessThanOrEqual(3);
});

test('put with waitMs: 0 returns at once', async () => {
  const { url, received } = await serve((_, response) => answer(response, created));
  const named = await createClient({ url }).names.put('pr-1', {}, { waitMs: 0 });
  expect(named.state).toBe('starting');
  expect(received).toHaveLength(1);
});

test('list reads every page', async () => {
  const { url, received } = await serve((_, response, count) =>
    answer(response, {
      items: [{ name: `n${count}` }],
      ...(count < 3 && { nextCursor: `n${count}` }),
    }),
  );
  const names: string[] = [];
  for await (const { name } of createClient({ url }).names.list()) names.push(name);
  expect(names).toEqual(['n1', 'n2', 'n3']);
  expect(received.map(({ request }) => request)).toEqual([
    'GET /v1/names',
    'GET /v1/names?cursor=n1',
    'GET /v1/names?cursor=n2',
  ]);
});

test('a delete whose response was lost has succeeded', async () => {
  const { url, received } = await serve((_, response, count) => {
    if (count === 1) response.destroy();
    else refuse(response, 404, 'not_found');
  });
  const { names } = createClient({ url });
  await names.delete('pr-1', { ifMatch: 8 });
  expect(received.map(({ headers }) => headers['if-match'])).toEqual(['"8"', '"8"']);
  await expect(names.delete('pr-1')).rejects.toMatchObject({ kind: 'not_found' });
});

test('a name that is not as required is a problem', async () => {
  const { url } = await serve((_, response) => refuse(response, 412, 'precondition_failed'));
  const { names } = createClient({ url });
  const refusal = { kind: 'precondition_failed', status: 412 };
  await expect(names.put('pr-1', {}, { ifMatch: 7 })).rejects.toMatchObject(refusal);
  await expect(names.delete('pr-1', { ifMatch: 7 })).rejects.toMatchObject(refusal);
});
