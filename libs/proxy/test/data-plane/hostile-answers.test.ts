import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { open, send, statusOf } from './raw.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// Responses of hostile containers. No response may end this process, be taken for another response,
// or pass for complete when it is not.

let fixture: Fixture;
let upstream: Upstream;

beforeAll(async () => {
  fixture = await startFixture({ responseTimeout: 600 });
});
afterAll(() => fixture.stop());
afterEach(() => upstream.stop());

const get = (id: string, below = '', lines = '') =>
  `GET /demo/${id}/${below} HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`;

/** Starts an upstream that sends this response to every request. Returns the id of its route. */
async function answers(answer: string): Promise<string> {
  upstream = await startUpstream(answering(answer));
  return fixture.ready(upstream.port);
}

describe('an invalid response', () => {
  test.each([
    ['status 000', 'HTTP/1.1 000 Zero\r\nContent-Length: 2\r\n\r\nok'],
    ['status 099', 'HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok'],
    ['status 1000', 'HTTP/1.1 1000 High\r\nContent-Length: 2\r\n\r\nok'],
    ['a control byte in the reason', 'HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nok'],
    ['a bare CR in the reason', 'HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok'],
    ['a control byte in a field', 'HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 2\r\n\r\nok'],
    ['NUL in a field', 'HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok'],
    ['a field without a colon', 'HTTP/1.1 200 OK\r\nX\r\nContent-Length: 2\r\n\r\nok'],
    ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok'],
    ['folding', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok'],
    ['bare LF', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok'],
    ['a length of -1', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok'],
    ['a length of 2^64', 'HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nok'],
    [
      'a length and chunks',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['gzip, chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
    ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['HTTP/2.0', 'HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['no HTTP at all', 'SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n'],
    ['101 that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
    ['a storm of 1xx', `${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(1_000)}${OK}`],
    ['1.2 MB of 1xx', `HTTP/1.1 103 Early\r\nX: ${'a'.repeat(60_000)}\r\n\r\n`.repeat(20) + OK],
    ['1 MB of header', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(1_000_000)}\r\n\r\n`],
    ['1 MB of headers', `HTTP/1.1 200 OK\r\n${'X: a\r\n'.repeat(170_000)}\r\n`],
  ])('%s is 502', async (_name, answer) => {
    const id = await answers(answer);
    const raw = open(fixture.port);
    raw.send(get(id));
    await raw.until(/HTTP\/1\.1 502/);
    expect(raw.received.replaceAll(/HTTP\/1\.1 103 [^]*?\r\n\r\n/g, '')).toMatch(
      /^HTTP\/1\.1 502 /,
    );
    raw.socket.destroy();
    await waitFor('the connection to close', () => upstream.connections.every((c) => c.left));
  });

  test('endless headers are 502', async () => {
    const timers = new Set<NodeJS.Timeout>();
    upstream = await startUpstream(({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\n');
      timers.add(setInterval(() => socket.write(`X: ${'a'.repeat(4_000)}\r\n`), 1));
    });
    const id = await fixture.ready(upstream.port);
    expect(statusOf(await send(fixture.port, get(id)))).toBe(502);
    for (const timer of timers) clearInterval(timer);
  });
});

describe('a body that differs from its framing', () => {
  test('shorter than its length: the client sees an abort', async () => {
    upstream = await startUpstream(({ socket }) => {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort');
    });
    const id = await fixture.ready(upstream.port);
    const raw = open(fixture.port);
    raw.send(get(id));
    const answer = await raw.untilClosed();
    expect(answer).toMatch(/content-length: 10/i);
    expect(answer).toMatch(/short$/);
  });

  test('cut in the middle of a chunk: there is no last chunk', async () => {
    upstream = await startUpstream(({ socket }) => {
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel');
    });
    const id = await fixture.ready(upstream.port);
    const raw = open(fixture.port);
    raw.send(get(id));
    const answer = await raw.untilClosed();
    expect(answer).not.toMatch(/\r\n0\r\n\r\n$/);
  });

  test.each([
    ['length', 'Content-Length: 10\r\n'],
    ['chunks', 'Transfer-Encoding: chunked\r\n'],
    ['the close', ''],
  ])('reset within a body framed by %s: the client sees an abort', async (_name, lines) => {
    upstream = await startUpstream(({ socket }) => {
      const body = lines.startsWith('T') ? '5\r\nhello\r\n' : 'hello';
      socket.write(`HTTP/1.1 200 OK\r\n${lines}\r\n${body}`);
    });
    const id = await fixture.ready(upstream.port);
    const raw = open(fixture.port);
    raw.send(get(id));
    await raw.until(/hello/);
    upstream.connections[0]?.socket.resetAndDestroy();
    const answer = await raw.untilClosed();
    expect(answer).not.toMatch(/\r\n0\r\n\r\n$/);
  });

  test('an HTTP/1.0 client, for whom a close is the regular end, sees a reset', async () => {
    upstream = await startUpstream(({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
    });
    const id = await fixture.ready(upstream.port);
    const raw = open(fixture.port);
    raw.send(`GET /demo/${id}/ HTTP/1.0\r\nHost: a\r\n\r\n`);
    await raw.until(/hello/);
    upstream.connections[0]?.socket.resetAndDestroy();
    await raw.untilClosed();
    expect(raw.ended).toBe(false);
    expect(raw.error).toBe('ECONNRESET');
  });

  test.each([
    ['at once', 0],
    ['a little later', 20],
  ])(
    'longer than its length, the surplus %s: cut at the length, and the socket closed',
    async (_, delay) => {
      const surplus = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret';
      upstream = await startUpstream(({ socket }) => {
        if (delay === 0) socket.write(OK + surplus);
        else {
          socket.write(OK);
          setTimeout(() => socket.write(surplus), delay);
        }
      });
      const id = await fixture.ready(upstream.port);
      expect(await send(fixture.port, get(id))).toMatch(/\r\n\r\nok$/);
      // At once, not after the idle timeout.
      await waitFor('the socket to close', () => upstream.connections[0]?.left, 2_000);
      expect(await send(fixture.port, get(id))).not.toContain('secret');
      expect(upstream.connections).toHaveLength(2);
    },
  );

  test.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret'],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nsecret'],
    ['GET', 'HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nsecret'],
    [
      'GET',
      'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n0\r\n\r\n',
    ],
  ])('%s: a body that is not allowed reaches no client', async (method, answer) => {
    const id = await answers(answer);
    const raw = open(fixture.port);
    const request = get(id).replace('GET', method);
    raw.send(request);
    await raw.until(/\r\n\r\n/);
    raw.send(request);
    await raw.until(/\r\n\r\nHTTP\/1\.1 \d[^]*\r\n\r\n/);
    raw.socket.destroy();
    expect(raw.received).not.toContain('secret');
    expect(upstream.connections).toHaveLength(2);
  });

  test.each(['Content-Length: 5', 'Transfer-Encoding: chunked'])(
    'an informational response is forwarded without its %s',
    async (field) => {
      const early = `HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n${field}\r\n\r\n`;
      const answer = await send(fixture.port, get(await answers(early + OK)));
      expect(answer).toMatch(/^HTTP\/1\.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP\/1\.1 200 /);
      expect(answer).toMatch(/ok$/);
    },
  );
});

describe('bytes before any request', () => {
  const stale = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret';

  test('on a new connection', async () => {
    upstream = await startUpstream(answering(OK), ({ socket }) => void socket.write(stale));
    const id = await fixture.ready(upstream.port);
    const answer = await send(fixture.port, get(id));
    expect(statusOf(answer)).toBe(502);
    expect(answer).not.toContain('secret');
  });

  test('on an idle connection: they reach no client, and it is not used again', async () => {
    const id = await answers(OK);
    expect(statusOf(await send(fixture.port, get(id)))).toBe(200);
    upstream.connections[0]?.socket.write(stale);
    await waitFor('the connection to close', () => upstream.connections[0]?.left, 2_000);
    expect(await send(fixture.port, get(id))).toMatch(/ok$/);
    expect(upstream.connections).toHaveLength(2);
  });
});

describe('silence', () => {
  test('after the request: 504 at the response timeout', async () => {
    upstream = await startUpstream(() => undefined);
    const id = await fixture.ready(upstream.port);
    expect(statusOf(await send(fixture.port, get(id)))).toBe(504);
    await waitFor('the connection to close', () => upstream.connections[0]?.left);
  });

  test('a client that does not finish its body: 408', async () => {
    upstream = await startUpstream(() => undefined);
    const id = await fixture.ready(upstream.port);
    const answer = await send(
      fixture.port,
      `POST /demo/${id}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf`,
    );
    expect(statusOf(answer)).toBe(408);
  });

  test('no server listens: 502', async () => {
    upstream = await startUpstream(() => undefined);
    const { port } = upstream;
    await upstream.stop();
    const id = await fixture.ready(port);
    expect(statusOf(await send(fixture.port, get(id)))).toBe(502);
  });

  test('an address that drops packets: 502 in about 1.2 s, not after the minutes of TCP', async () => {
    upstream = await startUpstream(() => undefined);
    const id = await fixture.ready(await startUnresponsive());
    const before = performance.now();
    expect(statusOf(await send(fixture.port, get(id)))).toBe(502);
    const took = performance.now() - before;
    expect(took).toBeGreaterThan(1_000);
    expect(took).toBeLessThan(3_000);
  });
});

/**
 * Starts a listener that never accepts and whose queue is full. To the kernel it is a dead address:
 * every connection attempt hangs. It is removed when the test ends.
 */
async function startUnresponsive(): Promise<number> {
  const program = `const s = require('net').createServer().listen(0, '127.0.1.1', 1,
    () => process.stdout.write(String(s.address().port)))`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'ignore'] });
  const fillers: Socket[] = [];
  onTestFinished(() => {
    for (const filler of fillers) filler.destroy();
    child.kill('SIGKILL');
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(line.toString());
  child.kill('SIGSTOP');
  let isFull = false;
  while (!isFull) {
    const filler = connect(port, '127.0.1.1').on('error', () => undefined);
    fillers.push(filler);
    isFull = await Promise.race([
      once(filler, 'connect').then(() => false),
      new Promise<boolean>((resolve) => setTimeout(resolve, 300, true)),
    ]);
  }
  return port;
}

// Each wait for the client costs timers and listeners, which must be removed.
test('thousands of tiny chunks to a client that does not read cause one wait', async () => {
  const large = 48 << 10;
  const piece = `${large.toString(16)}\r\n${'y'.repeat(large)}\r\n${'1\r\nx\r\n'.repeat(2_000)}`;
  const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  upstream = await startUpstream(({ socket }) => {
    // More than the kernel buffers for a client.
    socket.write(`${head}${piece.repeat(200)}0\r\n\r\n`);
  });
  const warnings: string[] = [];
  const note = ({ name }: Error) => warnings.push(name);
  process.on('warning', note);
  onTestFinished(() => void process.off('warning', note));
  const raw = open(fixture.port);
  raw.socket.pause();
  raw.send(get(await fixture.ready(upstream.port)));
  let taken = -1;
  await waitFor('the client to hold all up', async () => {
    const before = taken;
    await new Promise((resolve) => setTimeout(resolve, 100));
    taken = upstream.connections[0]?.socket.bytesWritten ?? -1;
    return taken > 0 && taken === before;
  });
  raw.socket.resume();
  await waitFor('the end of the answer', () => raw.received.endsWith('\r\n0\r\n\r\n'));
  expect(warnings).toEqual([]);
}, 90_000);

test('the process still serves afterwards', async () => {
  const id = await answers(OK);
  expect(statusOf(await send(fixture.port, get(id)))).toBe(200);
});
