import { expect, test } from 'vitest';

import { ProtocolError, type ResponseHead, ResponseParser } from './response-parser.ts';

/** Returns everything that the parser reported for some bytes. */
function parse(pieces: readonly string[], method = 'GET') {
  const heads: ResponseHead[] = [];
  let body = '';
  let trailers: readonly string[] | undefined;
  const parser = new ResponseParser();
  parser.begin(method, {
    onHead: (head) => heads.push(head),
    onBody: (data) => (body += data.toString('latin1')),
    onEnd: (fields) => (trailers = fields),
  });
  const taken = pieces.map((piece) => parser.push(Buffer.from(piece, 'latin1')));
  return { heads, body, trailers, taken, parser };
}

test('a response is parsed alike in one part and in single bytes', () => {
  const bytes =
    'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n' +
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Z\r\nX:  y \t\r\nEmpty:\r\n\r\n' +
    '3;name="value"\r\nabc\r\n0A\r\n0123456789\r\n000;x\r\nZ: 1\r\n\r\n';
  const whole = parse([bytes]);
  const single = parse(Array.from(bytes));
  for (const { heads, body, trailers, parser } of [whole, single]) {
    expect(heads.map(({ status }) => status)).toEqual([103, 200]);
    expect(heads[1]?.fields.endToEnd).toEqual(['X', 'y', 'Empty', '']);
    expect(heads[1]?.isReusable).toBe(true);
    expect(body).toBe('abc0123456789');
    expect(trailers).toEqual(['Z', '1']);
    expect(parser.isBusy).toBe(false);
  }
  expect(whole.taken).toEqual([bytes.length]);
});

test('bytes after a response are not consumed', () => {
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
  const { taken, body } = parse([`${answer}HTTP/1.1 200 OK\r\n`]);
  expect(taken).toEqual([answer.length]);
  expect(body).toBe('ok');
});

test.each([
  ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n', false],
  ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', false],
  ['HEAD', 'HTTP/1.1 200 OK\r\n\r\n', true],
  ['GET', 'HTTP/1.1 304 Not Modified\r\n\r\n', true],
  ['GET', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', true],
  ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', true],
  ['GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n', false],
  ['GET', 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n', false],
  ['GET', 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n', true],
])('%s: %j ends with its head, and may be followed by another: %s', (method, bytes, reusable) => {
  const { heads, trailers } = parse([bytes], method);
  expect(trailers).toEqual([]);
  expect(heads[0]?.isReusable).toBe(reusable);
});

test('a body without framing ends only with the connection', () => {
  const { parser, trailers, body } = parse(['HTTP/1.1 200 OK\r\n\r\n', 'a', 'b']);
  expect(body).toBe('ab');
  expect(trailers).toBeUndefined();
  expect(parser.end()).toBe(true);
});

test.each([
  'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n',
  'HTTP/1.1 200 OK\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
  '',
])('%j is not complete when the connection ends', (bytes) => {
  expect(parse([bytes]).parser.end()).toBe(false);
});

const chunked = (body: string) => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
test.each([
  chunked('\r\n'),
  chunked(';x\r\n'),
  chunked('3 \r\nabc'),
  chunked(' 3\r\nabc'),
  chunked('0x3\r\n'),
  chunked('+3\r\n'),
  chunked('3\nabc'),
  chunked('3\r\r\n'),
  chunked('3\r\nabcd'),
  chunked('3\r\nabc\n'),
  chunked('3\r\nabc\r\r'),
  chunked('3;a\x00\r\n'),
  chunked('3;a\n'),
  chunked('10000000000000\r\n'),
  chunked(`3;${'x'.repeat(2_000)}\r\n`),
  chunked('0\r\nX\r\n\r\n'),
  chunked('0\r\n X: y\r\n\r\n'),
  chunked('0\r\nContent-Length: 1\r\n\r\n'),
  chunked('0\nX: y'),
  'HTTP/1.1 200 OK\nX: y',
  'HTTP/1.1 200 OK\r\nX: y\n',
  'HTTP/1.1 101 Switching Protocols\r\n\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n'.repeat(110),
  'HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n',
  'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n\r\n',
  'HTTP/1.2 200 OK\r\n\r\n',
  'SSH-2.0-OpenSSH_9.2\r\n',
  'HTTP/1.1  200 OK\r\n\r\n',
  'HTTP/1.1 20 OK\r\n\r\n',
  'HTTP/1.1 2000 OK\r\n\r\n',
  'HTTP/1.1 200OK\r\n\r\n',
  'http/1.1 200 OK\r\n\r\n',
  '\r\nHTTP/1.1 200 OK\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 1\r\ncontent-length: 01\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n',
])('%j is refused', (bytes) => {
  expect(() => parse([bytes])).toThrow(ProtocolError);
  expect(() => parse(Array.from(bytes))).toThrow(ProtocolError);
});

test('takes linear time for any head', () => {
  const before = performance.now();
  for (const filler of [' ', '\t', ':', 'a', ' :', '\r', ',', ';', '=']) {
    const field = filler.repeat(60_000);
    for (const lines of [`X:${field}`, `${field}: x`, `X: ${field}\x00`, `Connection: ${field}`]) {
      try {
        parse([`HTTP/1.1 200 OK\r\n${lines}\r\n\r\n`]);
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
    }
  }
  expect(performance.now() - before).toBeLessThan(2_000);
});
