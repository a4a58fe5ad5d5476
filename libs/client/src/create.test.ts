import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { ConnectionError, StartFailedError, createClient } from './index.ts';

/** A control API. Returns its URL and the methods of the requests. */
async function serve(
  listener: (method: string, response: ServerResponse, count: number) => void,
): Promise<{ url: string; methods: string[] }> {
  const methods: string[] = [];
  const server = createServer(({ method = '' }, response) => {
    methods.push(method);
    listener(method, response, methods.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, methods };
}

function answer(response: ServerResponse, state: string, headers = {}): void {
  const body = { id: 'a1', url: 'http://demo/a1/', link: 'http://l/', status: { state } };
  response.writeHead(200, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

function refuse(response: ServerResponse, status: number, kind: string): void {
  const type = `urn:ephemera:problem:${kind}`;
  response.writeHead(status).end(JSON.stringify({ type, title: 'T', status, detail: 'D.' }));
}

test('reads that fail for a passing reason do not end the wait', async () => {
  const failures: ((response: ServerResponse) => void)[] = [
    (response) => response.destroy(),
    (response) => refuse(response, 503, 'store_unavailable'),
    (response) => refuse(response, 429, 'rate_limited'),
    (response) => response.writeHead(502).end('<html>'),
  ];
  const { url, methods } = await serve((method, response) => {
    if (method === 'POST') answer(response, 'starting');
    else if (failures.length > 0) failures.shift()?.(response);
    else answer(response, 'ready');
  });
  const started = await createClient({ url, retries: 0 }).create();
  expect(started).toMatchObject({ state: 'ready', link: 'http://l/' });
  expect(methods).toEqual(['POST', ...Array<string>(5).fill('GET')]);
});

test('an outage until the end of the wait is a start that failed, and is its cause', async () => {
  const { url, methods } = await serve((method, response) => {
    if (method === 'POST') answer(response, 'starting');
    else response.destroy();
  });
  const error = await createClient({ url, retries: 0 })
    .create({}, { waitMs: 200 })
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(StartFailedError);
  const { message, cause, instance } = error as StartFailedError;
  expect(message).toMatch(
    /^Instance a1 was not ready in time; it was starting when .*No control API/,
  );
  expect(cause).toBeInstanceOf(ConnectionError);
  expect(instance.status.state).toBe('starting');
  expect(methods.at(-1)).toBe('DELETE');
});

test('a control API that answers nothing more does not extend the wait', async () => {
  const { url, methods } = await serve((method, response) => {
    if (method === 'POST') answer(response, 'starting');
  });
  const began = performance.now();
  // Without limits of the wait, the read and the end would take ten minutes each.
  const error = await createClient({ url, retries: 0, timeoutMs: 600_000 })
    .create({}, { waitMs: 300 })
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(StartFailedError);
  expect((error as StartFailedError).message).toMatch(/was starting when .* did not answer/);
  expect((error as StartFailedError).cause).toBeInstanceOf(ConnectionError);
  expect(methods).toEqual(['POST', 'GET', 'DELETE']);
  expect(performance.now() - began).toBeLessThan(60_000);
});

test('a read that cannot succeed later ends the wait', async () => {
  const { url, methods } = await serve((method, response) => {
    if (method === 'GET') refuse(response, 403, 'forbidden');
    else answer(response, 'starting');
  });
  await expect(createClient({ url }).create()).rejects.toMatchObject({ kind: 'forbidden' });
  expect(methods).toEqual(['POST', 'GET', 'DELETE']);
});

test('an abort ends a read that is in flight', async () => {
  const aborter = new AbortController();
  const reason = new Error('no longer needed');
  const { url } = await serve((method, response) => {
    if (method === 'GET') aborter.abort(reason);
    else answer(response, 'starting');
  });
  const creation = createClient({ url, timeoutMs: 600_000 }).create({}, { signal: aborter.signal });
  await expect(creation).rejects.toBe(reason);
});

test('a paused instance is returned', async () => {
  const { url, methods } = await serve((_, response) => answer(response, 'paused'));
  const started = await createClient({ url }).create(
    {},
    { idempotencyKey: 'order-17', waitMs: 300 },
  );
  expect(started.state).toBe('paused');
  expect(methods).toEqual(['POST']);
});

test.each([
  ['created under its key by an earlier request stays', 'order-17', true, false],
  ['created under its key by this request is ended', 'order-17', false, true],
  // Only a retry of this call can have the same random key.
  ['of a lost response is ended', undefined, true, true],
])('an instance %s', async (_, idempotencyKey, isReplayed, isEnded) => {
  const { url, methods } = await serve((method, response) =>
    answer(response, 'starting', {
      ...(method === 'POST' && isReplayed && { 'idempotency-replayed': 'true' }),
    }),
  );
  const options = { waitMs: 1, ...(idempotencyKey !== undefined && { idempotencyKey }) };
  await expect(createClient({ url }).create({}, options)).rejects.toThrow(StartFailedError);
  expect(methods.includes('DELETE')).toBe(isEnded);
});
