import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { compare, isLaxer } from '../src/compare/compare.ts';
import { startCountingUpstream } from '../src/fuzz/counting-upstream.ts';
import { fuzz } from '../src/fuzz/fuzz.ts';
import { readAnswer } from '../src/fuzz/strict-answers.ts';
import { readStrictly } from '../src/fuzz/strict-requests.ts';

test.each(['client', 'container'] as const)(
  'mutated bytes from the %s: at most one forwarded request per request, and no leaks',
  { timeout: 120_000 },
  async (side) => {
    const result = await fuzz({ side, cases: 600, seed: 1 });
    expect(result.findings).toEqual([]);
    expect(result.cases).toBe(600);
    expect(result.requestsArrived).toBeGreaterThan(0);
  },
);

test('the oracle does not count what other processes send to its port', async () => {
  const heads: string[] = [];
  const upstream = await startCountingUpstream({
    onHead: (head) => heads.push(head),
    onRequest: () => 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    onAmbiguity: () => undefined,
  });
  try {
    // The address of instances in other suites.
    await fetch(`http://127.0.1.1:${upstream.port}/other`).catch(() => undefined);
    const server = connect(upstream.port, upstream.address);
    server.write('GET /own HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(server, 'data');
    server.destroy();
    expect(heads.map((head) => head.split(' ')[1])).toEqual(['/own']);
  } finally {
    upstream.stop();
  }
});

test(
  'no request is forwarded that haproxy and nginx both refuse',
  { timeout: 180_000 },
  async () => {
    const results = await compare(0, 1);
    expect(results.filter(isLaxer)).toEqual([]);
  },
);

test.each([
  ['one', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 1],
  ['two', 'GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', 2],
  ['chunks', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 1],
  [
    'two framings',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na',
    0,
  ],
  ['bytes after a close', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / ', 1],
])('the oracle counts %s', (_what, bytes, requests) => {
  expect(readStrictly(bytes).requests).toBe(requests);
});

test.each(['Content-Length: 2', 'transfer-encoding: chunked'])(
  'the oracle finds %s in an informational response, and none in others',
  (field) => {
    const early = (line: string) => `HTTP/1.1 103 Early Hints\r\nX: 1\r\n${line}\r\n`;
    const last = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
    expect(readAnswer(early('') + last, 'GET', false).kind).toBe('whole');
    expect(readAnswer(early('') + early(`${field}\r\n`) + last, 'GET', false).kind).toBe('wrong');
  },
);
