import { waitFor } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { open, send, sendUntilBackpressure, statusOf } from './raw.ts';
import { type Fixture, startFixture } from './fixture.ts';
import {
  answering,
  OK,
  startUpstream,
  type Upstream,
  type UpstreamConnection,
} from './upstream.ts';

// An instance and its visitor should not notice the proxy between them.

let fixture: Fixture;
let upstream: Upstream;

beforeAll(async () => {
  fixture = await startFixture();
});
afterAll(() => fixture.stop());
afterEach(() => upstream.stop());

const get = (id: string, below = '', lines = '') =>
  `GET /demo/${id}/${below} HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`;
const post = (id: string, lines: string, body = '') =>
  `POST /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n${body}`;

async function behind(...behaviour: Parameters<typeof startUpstream>): Promise<string> {
  upstream = await startUpstream(...behaviour);
  return fixture.ready(upstream.port);
}

/** Returns the n-th connection to the upstream. */
async function connectionTo(index = 0): Promise<UpstreamConnection> {
  return waitFor('a connection', () => upstream.connections[index]);
}

const bodyOf = (answer: string) => answer.slice(answer.indexOf('\r\n\r\n') + 4);

describe('responses', () => {
  test('status, reason, fields, their order and their case are unchanged', async () => {
    const fields =
      'X-One: 1\r\nx-TWO: a  b\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVary: \xe9\r\n';
    const id = await behind(
      answering(`HTTP/1.1 299 Rather Fine\r\n${fields}Content-Length: 2\r\n\r\nok`),
    );
    const answer = await send(fixture.port, get(id));
    expect(answer.startsWith(`HTTP/1.1 299 Rather Fine\r\n${fields}Content-Length: 2\r\n`)).toBe(
      true,
    );
  });

  test('hop-by-hop fields and those that Connection names are stripped', async () => {
    const id = await behind(
      answering(
        'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n' +
          'Proxy-Authenticate: x\r\nUpgrade: h2c\r\nKept: 1\r\nContent-Length: 2\r\n\r\nok',
      ),
    );
    const answer = await send(fixture.port, get(id));
    expect(answer).toMatch(/\r\nKept: 1\r\n/);
    expect(answer).not.toMatch(/X-Hop|Proxy-|Upgrade|timeout=9/);
  });

  test.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n', /\r\nContent-Length: 7\r\n/],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', /^HTTP\/1\.1 204 No Content\r\n/],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', /\r\nETag: "a"\r\n/],
    ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', /\r\nContent-Length: 0\r\n/],
  ])('%s without a body: %j', async (method, answer, pattern) => {
    const id = await behind(answering(answer));
    const raw = open(fixture.port);
    raw.send(get(id).replace('GET', method) + get(id).replace('GET', method));
    await raw.until(/^HTTP[^]*\r\n\r\nHTTP[^]*\r\n\r\n$/);
    raw.socket.destroy();
    expect(raw.received).toMatch(pattern);
  });

  test('a range', async () => {
    const part =
      'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-2/9\r\nContent-Length: 2\r\n\r\nbc';
    const id = await behind(answering(part));
    const answer = await send(fixture.port, get(id, '', 'Range: bytes=1-2\r\n'));
    expect(upstream.received).toContain('Range: bytes=1-2');
    expect(answer).toMatch(/^HTTP\/1\.1 206 [^]*Content-Range: bytes 1-2\/9[^]*bc$/);
  });

  test('forty informational responses at once are forwarded', async () => {
    const early = 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(40);
    const answer = await send(fixture.port, get(await behind(answering(early + OK))));
    expect(answer.match(/HTTP\/1\.1 102 /g)).toHaveLength(40);
    expect(answer).toMatch(/HTTP\/1\.1 200 [^]*ok$/);
  });

  test('informational responses are forwarded; 100 only if the client expects it', async () => {
    const id = await behind(
      answering(
        `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a.css>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${OK}`,
      ),
    );
    const answer = await send(fixture.port, get(id));
    expect(answer).toMatch(
      /^HTTP\/1\.1 103 Early Hints\r\nLink: <a.css>; rel=preload\r\n\r\nHTTP\/1\.1 102 /,
    );
    expect(answer).not.toMatch(/ 100 /);
  });

  test('an HTTP/1.0 client gets only the final response', async () => {
    const id = await behind(answering(`HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n${OK}`));
    const raw = open(fixture.port);
    raw.send(get(id).replace('HTTP/1.1', 'HTTP/1.0'));
    expect(await raw.untilClosed()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nok$/);
  });

  test('a 204 has no Content-Length (RFC 9110 8.6)', async () => {
    const id = await behind(
      answering('HTTP/1.1 204 No Content\r\nContent-Length: 6\r\nKept: 1\r\n\r\n'),
    );
    const answer = await send(fixture.port, get(id));
    expect(answer).toMatch(/\r\nKept: 1\r\n/);
    expect(answer).not.toMatch(/content-length/i);
  });

  test('trailers after a chunked body', async () => {
    const id = await behind(
      answering(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\n\r\n',
      ),
    );
    const answer = await send(fixture.port, get(id));
    expect(answer).toMatch(/\r\ntrailer: X-Sum\r\n/i);
    expect(answer).toMatch(/\r\n0\r\nX-Sum: 1\r\n\r\n$/);
  });

  test('a body that ends with the connection', async () => {
    const id = await behind(({ socket }) => socket.end('HTTP/1.1 200 OK\r\n\r\nuntil the end'));
    const answer = await send(fixture.port, get(id));
    expect(answer).toMatch(/Transfer-Encoding: chunked[^]*until the end\r\n0\r\n\r\n$/);
  });

  test('a chunked response becomes plain bytes and a close for an HTTP/1.0 client', async () => {
    const id = await behind(
      answering(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n2\r\n!!\r\n0\r\nX: 1\r\n\r\n',
      ),
    );
    const raw = open(fixture.port);
    raw.send(`GET /demo/${id}/ HTTP/1.0\r\nHost: a\r\n\r\n`);
    const answer = await raw.untilClosed();
    expect(bodyOf(answer)).toBe('ok!!');
    expect(answer).not.toMatch(/chunked|X: 1/i);
    expect(raw.ended).toBe(true);
  });

  test('server-sent events arrive one by one, the head before the first', async () => {
    const id = await behind(({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n');
    });
    const raw = open(fixture.port);
    raw.send(get(id));
    await raw.until(/text\/event-stream[^]*\r\n\r\n$/);
    for (const event of ['data: 1', 'data: 2', 'data: 3']) {
      (await connectionTo()).socket.write(`${event}\n\n`);
      await raw.until(new RegExp(event));
    }
    raw.socket.destroy();
  });

  test('a response that arrives byte by byte', async () => {
    const answer =
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n3;e=1\r\nabc\r\n00a\r\n0123456789\r\n0\r\nZ: 1\r\n\r\n';
    const drip = async ({ socket }: UpstreamConnection) => {
      for (const byte of answer) {
        socket.write(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const id = await behind((connection) => {
      connection.socket.setNoDelay(true);
      void drip(connection);
    });
    const received = await send(fixture.port, get(id));
    expect(received).toMatch(/\r\nX: y\r\n/);
    expect(bodyOf(received)).toMatch(/\r\n0\r\nZ: 1\r\n\r\n$/);
    expect(bodyOf(received).replaceAll(/^.*\r\n(.)\r\n/gm, '$1')).toMatch(/^abc0123456789/);
  });
});

describe('requests', () => {
  test('method, target, fields, their order and their case are unchanged', async () => {
    const id = await behind(answering(OK));
    const fields = 'X-One: 1\r\nx-TWO: a  b\r\nCookie: a=1\r\nCookie: b=2\r\nX: \xe9\r\n';
    await send(
      fixture.port,
      `PROPFIND /demo/${id}/a/%7Eb?c=%20&d HTTP/1.1\r\nHost: A.example:81\r\n${fields}\r\n`,
    );
    expect(upstream.received).toContain(
      'PROPFIND /a/%7Eb?c=%20&d HTTP/1.1\r\nhost: A.example:81\r\n',
    );
    expect(upstream.received).toContain(fields);
  });

  test('a chunked upload is forwarded chunk by chunk, with its trailers', async () => {
    const id = await behind(() => undefined);
    const raw = open(fixture.port);
    raw.send(post(id, 'Transfer-Encoding: chunked\r\n'));
    await waitFor('the head, before any body', () => upstream.received.includes('\r\n\r\n'));
    raw.send('3\r\nabc\r\n');
    await waitFor('the first chunk', () => upstream.received.endsWith('3\r\nabc\r\n'));
    raw.send('2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n');
    await waitFor('the rest', () => upstream.received.endsWith('2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n'));
    raw.socket.destroy();
  });

  test('both sides can send at the same time', async () => {
    const id = await behind(({ socket, received }, chunk) => {
      if (chunk.startsWith('POST')) {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      }
      if (received.endsWith('one\r\n')) socket.write('3\r\nONE\r\n');
      if (received.endsWith('0\r\n\r\n')) socket.write('0\r\n\r\n');
    });
    const raw = open(fixture.port);
    raw.send(post(id, 'Transfer-Encoding: chunked\r\n'));
    await raw.until(/200 OK/);
    raw.send('3\r\none\r\n');
    await raw.until(/ONE/);
    raw.send('0\r\n\r\n');
    await raw.until(/\r\n0\r\n\r\n$/);
    raw.socket.destroy();
  });

  test('an early response is forwarded, and the rest of the upload is discarded', async () => {
    const id = await behind(answering('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno'));
    const raw = open(fixture.port);
    raw.send(post(id, 'Content-Length: 1000000\r\n', 'x'.repeat(1_000)));
    await raw.until(/413 Too Large[^]*no$/);
    await waitFor('the upstream to close', () => upstream.connections[0]?.left);
    raw.send('x'.repeat(999_000));
    raw.send(get(id));
    await raw.until(/no[^]*413/);
    raw.socket.destroy();
  });

  test('the instance answers Expect: 100-continue', async () => {
    const id = await behind(({ socket }, chunk) => {
      if (chunk.includes('\r\n\r\n')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      else socket.write(OK);
    });
    const raw = open(fixture.port);
    raw.send(post(id, 'Expect: 100-continue\r\nContent-Length: 3\r\n'));
    await raw.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    expect(upstream.received).toMatch(/\r\nexpect: 100-continue\r\n/);
    raw.send('abc');
    await raw.until(/200 OK[^]*ok$/);
    raw.socket.destroy();
    expect(upstream.received).toMatch(/abc$/);
  });

  test('the refusal of an expectation is forwarded, and the framing stays intact', async () => {
    const id = await behind(answering('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n'));
    const raw = open(fixture.port);
    raw.send(post(id, 'Expect: 100-continue\r\nContent-Length: 3\r\n'));
    const answer = await raw.untilClosed();
    expect(answer).toMatch(/^HTTP\/1\.1 401 No\r\n[^]*\r\nConnection: close\r\n/);
    expect(answer).not.toMatch(/ 100 /);
  });

  test('an instance that ignores expectations does not block the client', async () => {
    const id = await behind(({ socket }, chunk) => {
      if (chunk === 'abc') socket.write(OK);
    });
    const raw = open(fixture.port);
    raw.send(post(id, 'Expect: 100-continue\r\nContent-Length: 3\r\n'));
    await raw.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    raw.send('abc');
    await raw.until(/200 OK/);
    raw.socket.destroy();
  });
});

describe('connections', () => {
  test('are kept alive on both sides', async () => {
    const id = await behind(answering(OK));
    const raw = open(fixture.port);
    for (let i = 1; i <= 20; i++) {
      raw.send(get(id, String(i)));
      await raw.until(new RegExp(`^(HTTP[^]*?\r\n\r\nok){${i}}$`));
    }
    raw.socket.destroy();
    expect(upstream.connections).toHaveLength(1);
    expect(upstream.requests).toHaveLength(20);
  });

  test('pipelined requests are answered in order', async () => {
    const id = await behind(({ socket }, chunk) => {
      const name = /GET \/(\w+)/.exec(chunk)?.[1] ?? '';
      const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`;
      setTimeout(() => socket.write(answer), name === 'slow' ? 100 : 0);
    });
    const raw = open(fixture.port);
    raw.send(get(id, 'slow') + get(id, 'quick') + get(id, 'last'));
    await raw.until(/slow[^]*quick[^]*last$/);
    raw.socket.destroy();
    expect(upstream.requests).toHaveLength(3);
  });

  test('a connection with `Connection: close` is not used again', async () => {
    const id = await behind(
      answering('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'),
    );
    await send(fixture.port, get(id));
    await send(fixture.port, get(id));
    expect(upstream.connections).toHaveLength(2);
  });

  test('an idle connection is closed before the instance closes it', async () => {
    const id = await behind(
      answering('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 2\r\n\r\nok'),
    );
    const before = performance.now();
    await send(fixture.port, get(id));
    await waitFor('the connection to close', () => upstream.connections[0]?.left);
    expect(performance.now() - before).toBeLessThan(1_900);
  });

  test('an HTTP/1.0 instance', async () => {
    const id = await behind(({ socket }) => socket.end('HTTP/1.0 200 OK\r\n\r\nold'));
    expect(await send(fixture.port, get(id))).toMatch(/old\r\n0\r\n\r\n$/);
    expect(await send(fixture.port, get(id))).toMatch(/old\r\n0\r\n\r\n$/);
  });

  describe('a reset of a reused idle connection', () => {
    /**
     * Responds to the first request of each connection, and resets the first `resets` connections
     * at their second request.
     */
    const resetting = (resets: number) => (connection: UpstreamConnection) => {
      const index = upstream.connections.indexOf(connection);
      const count = connection.received.match(/HTTP\/1\.1\r\n/g)?.length ?? 0;
      if (count > 1 || (index > 0 && index < resets)) connection.socket.resetAndDestroy();
      else connection.socket.write(OK);
    };

    test.each([
      ['GET', ''],
      ['HEAD', ''],
      ['OPTIONS', ''],
      ['DELETE', ''],
      ['PUT', 'Content-Length: 0\r\n'],
      ['PROPFIND', 'Content-Length: 0\r\n'],
      ['REPORT', ''],
      ['MKCOL', ''],
      ['COPY', ''],
      ['SEARCH', ''],
      ['QUERY', ''],
    ])('retries %s without a body once', async (method, lines) => {
      const id = await behind(resetting(1));
      await send(fixture.port, get(id));
      const raw = open(fixture.port);
      raw.send(get(id, '', lines).replace('GET', method));
      await raw.until(/^HTTP\/1\.1 200/);
      raw.socket.destroy();
      expect(upstream.connections).toHaveLength(2);
    });

    test.each([
      ['GET', 'Content-Length: 5\r\n', 'hello', 'hello'],
      ['PUT', 'Content-Length: 5\r\n', 'hello', 'hello'],
      ['PUT', 'Content-Length: 5\r\nExpect: 100-continue\r\n', 'hello', 'hello'],
      [
        'PROPFIND',
        'Transfer-Encoding: chunked\r\n',
        '5\r\nhello\r\n0\r\n\r\n',
        '5\r\nhello\r\n0\r\n\r\n',
      ],
    ])('retries %s whose body has not been read: %s', async (method, lines, body, expected) => {
      const id = await behind((connection) => {
        const { socket, received } = connection;
        const count = received.match(/HTTP\/1\.1\r\n/g)?.length ?? 0;
        if (count > 1) socket.resetAndDestroy();
        else if (connection === upstream.connections[0] || received.includes('hello')) {
          socket.write(OK);
        }
      });
      await send(fixture.port, get(id));
      const raw = open(fixture.port);
      raw.send(get(id, '', lines).replace('GET', method));
      await waitFor('the second attempt', () => upstream.connections[1]?.received);
      raw.send(body);
      await raw.until(/HTTP\/1\.1 200/);
      await waitFor('the body', () => upstream.received.endsWith(`\r\n\r\n${expected}`));
      raw.socket.destroy();
      expect(upstream.connections).toHaveLength(2);
    });

    test('does not retry a PUT whose body has been read in part', async () => {
      const id = await behind((connection) => {
        if (connection.received.endsWith('hel')) connection.socket.resetAndDestroy();
        else if (!connection.received.includes('PUT')) connection.socket.write(OK);
      });
      await send(fixture.port, get(id));
      const raw = open(fixture.port);
      raw.send(get(id, '', 'Content-Length: 5\r\n').replace('GET', 'PUT') + 'hel');
      expect(statusOf(await raw.until(/\r\n\r\n/))).toBe(502);
      raw.socket.destroy();
      expect(upstream.connections).toHaveLength(1);
    });

    test('does not retry twice', async () => {
      const id = await behind(resetting(3));
      await send(fixture.port, get(id));
      expect(statusOf(await send(fixture.port, get(id)))).toBe(502);
      expect(upstream.connections).toHaveLength(2);
    });

    test.each([
      ['POST', 'Content-Length: 0\r\n'],
      ['PATCH', ''],
      ['LOCK', ''],
      ['SUBSCRIBE', ''],
      ['PURGE', ''],
    ])('does not retry %s', async (method, lines) => {
      const id = await behind(resetting(1));
      await send(fixture.port, get(id));
      const answer = await send(fixture.port, get(id, '', lines).replace('GET', method));
      expect(statusOf(answer)).toBe(502);
      expect(upstream.connections).toHaveLength(1);
    });

    test('does not retry a GET on a new connection', async () => {
      const id = await behind(({ socket }) => socket.resetAndDestroy());
      expect(statusOf(await send(fixture.port, get(id)))).toBe(502);
      expect(upstream.connections).toHaveLength(1);
    });

    test('does not retry a GET whose response has started', async () => {
      const id = await behind((connection) => {
        const count = connection.received.match(/HTTP\/1\.1\r\n/g)?.length ?? 0;
        connection.socket.write(count > 1 ? 'HTTP/1.1 200' : OK);
        if (count > 1) setTimeout(() => connection.socket.resetAndDestroy(), 20);
      });
      await send(fixture.port, get(id));
      expect(statusOf(await send(fixture.port, get(id)))).toBe(502);
      expect(upstream.connections).toHaveLength(1);
    });
  });
});

describe('slow responses', () => {
  test('an instance may take longer than the idle timeout to respond', async () => {
    // The pools are swept every 250 ms, so several sweeps see this connection.
    const waiting = await startFixture({ idleTimeout: 100, connectTimeout: 100 });
    onTestFinished(() => waiting.stop());
    upstream = await startUpstream(({ socket }) => void setTimeout(() => socket.write(OK), 3_000));
    const id = await waiting.ready(upstream.port);
    expect(await send(waiting.port, get(id))).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*ok$/);
    expect(upstream.connections).toHaveLength(1);
  });

  test('a client gets an early response first, whether or not it sends more of its body', async () => {
    const id = await behind(answering('HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno'));
    const raw = open(fixture.port);
    raw.send(post(id, 'Content-Length: 100000\r\n', 'begun'));
    await raw.until(/^HTTP\/1\.1 413 Too Much\r\n[^]*no$/);
    raw.send('more of it');
    // Afterwards the proxy does not wait for the body without a limit.
    const answered = performance.now();
    await raw.untilClosed();
    expect(performance.now() - answered).toBeGreaterThan(2_000);
    expect(raw.error).toBeUndefined();
  });
});

describe('aborts', () => {
  /** Waits until the upstream sees its connection end. Returns how long that took, ms. */
  async function timeUntilLeft(): Promise<number> {
    const before = performance.now();
    const connection = await connectionTo();
    await waitFor('the upstream to close', () => connection.left);
    return performance.now() - before;
  }

  test.each([
    ['before the answer', () => undefined, get],
    [
      'during the response',
      ({ socket }: UpstreamConnection) => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun');
      },
      get,
    ],
    [
      'during the upload',
      () => undefined,
      (id: string) => post(id, 'Content-Length: 100\r\n', 'begun'),
    ],
  ] as const)(
    'the instance sees within 200 ms that a client disconnected %s',
    async (_, behaviour, request) => {
      const id = await behind(behaviour);
      const raw = open(fixture.port);
      raw.send(request(id));
      await waitFor('the request', () => upstream.received.includes('\r\n\r\n'));
      if (behaviour.length > 0) await raw.until(/begun/);
      raw.socket.destroy();
      expect(await timeUntilLeft()).toBeLessThan(200);
      await waitFor('nothing in flight', () => fixture.dataPlane.inFlight() === 0);
    },
  );

  test('a client that disconnects during the upstream connect sends no request', async () => {
    const id = await behind(answering(OK));
    const raw = open(fixture.port);
    raw.socket.once('connect', () => {
      raw.socket.end(get(id), 'latin1', () => raw.socket.destroy());
    });
    await raw.untilClosed();
    await waitFor('nothing in flight', () => fixture.dataPlane.inFlight() === 0);
    expect(statusOf(await send(fixture.port, get(id)))).toBe(200);
  });
});

describe('back-pressure', () => {
  const SIZE = 64 * 1024 * 1024;

  test('a client that does not read slows the instance down instead of using memory', async () => {
    let written = 0;
    const id = await behind(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`);
      const block = Buffer.alloc(64 * 1024);
      const more = () => {
        while (written < SIZE) {
          written += block.length;
          if (!socket.write(block)) return;
        }
      };
      socket.on('drain', more);
      more();
    });
    const raw = open(fixture.port);
    raw.socket.pause();
    raw.send(get(id));
    await waitFor('the instance to be held up', async () => {
      const before = written;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return before > 0 && before === written;
    });
    expect(written).toBeLessThan(SIZE / 2);
    let received = 0;
    raw.socket.on('data', (data) => (received += data.length));
    raw.socket.resume();
    await waitFor('all of it', () => received >= SIZE);
    raw.socket.destroy();
  });

  test('an instance that does not read slows the client down instead of using memory', async () => {
    const id = await behind(
      () => undefined,
      ({ socket }) => socket.pause(),
    );
    const raw = open(fixture.port);
    raw.send(post(id, `Content-Length: ${SIZE}\r\n`));
    const sent = await sendUntilBackpressure(raw, SIZE);
    expect(sent()).toBeLessThan(SIZE / 2);
    const { socket } = await connectionTo();
    let received = 0;
    socket.removeAllListeners('data').on('data', (data) => (received += data.length));
    socket.resume();
    await waitFor('all of it', () => received > SIZE);
    socket.write(OK);
    await raw.until(/ok$/);
    raw.socket.destroy();
  });

  test('a client that accepts nothing for too long is disconnected, and so is its instance', async () => {
    const impatient = await startFixture({ clientTimeout: 300 });
    upstream = await startUpstream(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`);
      socket.write(Buffer.alloc(SIZE));
    });
    const id = await impatient.ready(upstream.port);
    const raw = open(impatient.port);
    raw.socket.pause();
    raw.send(get(id));
    const connection = await connectionTo();
    await waitFor('the instance to be let go', () => connection.left);
    await waitFor('nothing in flight', () => impatient.dataPlane.inFlight() === 0);
    raw.socket.destroy();
    await impatient.stop();
  });
});
