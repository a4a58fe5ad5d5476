import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { freePort } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { followEvents } from './events.ts';
import { ConnectionError, createClient } from './index.ts';

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const problem = (kind: string, status: number) =>
  JSON.stringify({ type: `urn:ephemera:problem:${kind}`, title: kind, status, detail: '' });

test('a stream continues after its last position when it is cut', async () => {
  const after: unknown[] = [];
  const parts = [
    'retry: 1\nid: 1-0\n:\n\nid: 2-0\nevent: ready\nda',
    'ta: {"seq":"2-0"}\n\nid: 3-0\n:\n\n',
    'event: gap\ndata: {"after":"3-0"}\n\nid: 4-0\nevent: gone\ndata: {"seq":"4-0"}\n\n',
  ];
  const url = await serve((request, response) => {
    after.push(request.headers['last-event-id']);
    expect(request.url).toBe('/v1/events?instance=a1%2Cb2&type=gone');
    if (after.length === 1) {
      response.write(parts[0]);
      response.write(parts[1], () => response.destroy());
    } else if (after.length === 2) {
      // The replica restarts.
      response.writeHead(503).end(problem('store_unavailable', 503));
    } else if (after.length === 3) {
      response.end(parts[2]);
    } else {
      response.writeHead(403).end(problem('forbidden', 403));
    }
  });
  const seen: string[] = [];
  const stream = createClient({ url }).events({
    instance: ['a1', 'b2'],
    type: ['gone'],
    onGap: () => seen.push('gap'),
  });
  const reading = (async () => {
    for await (const { seq } of stream) seen.push(seq);
  })();
  await expect(reading).rejects.toMatchObject({ kind: 'forbidden' });
  expect(after).toEqual([undefined, '3-0', '3-0', '4-0']);
  expect(seen).toEqual(['2-0', 'gap', '4-0']);
});

test('begins after a given position, and an abort ends it with its reason', async () => {
  const after: unknown[] = [];
  const url = await serve((request, response) => {
    after.push(request.headers['last-event-id']);
    response.write('id: 1-0\nevent: ready\ndata: {"seq":"1-0"}\n\n');
  });
  const aborter = new AbortController();
  const stream = createClient({ url }).events({ lastEventId: '0', signal: aborter.signal });
  expect((await stream.next()).value).toEqual({ seq: '1-0' });
  const next = stream.next();
  const reason = new Error('enough');
  aborter.abort(reason);
  await expect(next).rejects.toBe(reason);
  expect(after).toEqual(['0']);
});

test('leaving the loop closes the connection', async () => {
  let isClosed = false;
  const url = await serve((_request, response) => {
    response.on('close', () => (isClosed = true));
    response.write('id: 1-0\nevent: ready\ndata: {"seq":"1-0"}\n\n');
  });
  for await (const { seq } of createClient({ url }).events()) {
    expect(seq).toBe('1-0');
    break;
  }
  await expect.poll(() => isClosed).toBe(true);
});

test('a stream that never began fails at once', async () => {
  const down = await serve((_request, response) => {
    response.writeHead(503).end(problem('store_unavailable', 503));
  });
  await expect(createClient({ url: down }).events().next()).rejects.toMatchObject({
    kind: 'store_unavailable',
  });
  const nobody = `http://127.0.0.1:${await freePort()}`;
  await expect(createClient({ url: nobody }).events().next()).rejects.toThrow(ConnectionError);
});

test('a stream that is silent for too long is opened again', async () => {
  const after: string[] = [];
  const url = await serve((_request, response) => {
    response.write('retry: 1\nid: 1-0\n:\n\n');
    // On a busy machine, a connection may count as silent before its first byte arrives.
    if (after.at(-1) === '1-0') response.write('data: {"seq":"2-0"}\n\n');
  });
  const stream = followEvents(
    (last, signal) => {
      after.push(last);
      return fetch(url, { signal });
    },
    {},
    { silenceMs: 100, maxDownMs: 10_000 },
  );
  expect((await stream.next()).value).toEqual({ seq: '2-0' });
  expect([...new Set(after)]).toEqual(['', '1-0']);
});

test('a lost stream fails when no control API answers for too long', async () => {
  let openings = 0;
  const stream = followEvents(
    async () => {
      openings++;
      if (openings > 1) throw new ConnectionError('refused');
      return Promise.resolve(new Response('retry: 1\n\ndata: {"seq":"1-0"}\n\n'));
    },
    {},
    { silenceMs: 1_000, maxDownMs: 100 },
  );
  expect((await stream.next()).value).toEqual({ seq: '1-0' });
  await expect(stream.next()).rejects.toThrow('refused');
  expect(openings).toBeGreaterThan(2);
});
