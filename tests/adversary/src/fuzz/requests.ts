/** Hostile requests, as bytes in latin1. `path` leads to an instance and contains a mark. */
export type Bytes = (path: string) => string;

const head =
  (lines: string, method = 'POST', version = '1.1') =>
  (path: string) =>
    `${method} ${path} HTTP/${version}\r\nHost: a.example\r\n${lines}\r\n`;
const withBody =
  (lines: string, body: string, method = 'POST') =>
  (path: string) =>
    `${head(lines, method)(path)}${body}`;
const inner = (path: string) => `GET ${path}/inner HTTP/1.1\r\nHost: a\r\n\r\n`;
const carrying = (method: string) => (path: string) => {
  const body = inner(path);
  const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  return withBody('Transfer-Encoding: chunked\r\n', chunk, method)(path);
};
const chunked = (body: string) => withBody('Transfer-Encoding: chunked\r\n', body);
const socket = (lines: string) =>
  head(
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
      `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${lines}`,
    'GET',
  );

/** Requests that are refused, changed or forwarded: the seeds of the fuzzer. */
export const REQUESTS = {
  'plain GET': head('', 'GET'),
  'plain HEAD': head('', 'HEAD'),
  'a length': withBody('Content-Length: 3\r\n', 'abc'),
  chunks: chunked('3\r\nabc\r\n0\r\n\r\n'),
  'two requests': (path) => head('', 'GET')(path) + head('', 'GET')(path),
  'length and chunks': withBody('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'chunks and length': withBody('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', '0\r\n\r\n'),
  'TE xchunked': withBody('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'),
  'TE chunked, identity': withBody('Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n'),
  'TE identity, chunked': withBody('Transfer-Encoding: identity, chunked\r\n', '0\r\n\r\n'),
  'TE gzip, chunked': withBody('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'),
  'TE twice': withBody('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'TE with a space before the colon': withBody('Transfer-Encoding : chunked\r\n', '0\r\n\r\n'),
  'TE with a control byte': withBody('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n'),
  'TE folded': withBody('Transfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n'),
  'TE on HTTP/1.0': (path) =>
    `${head('Transfer-Encoding: chunked\r\n', 'POST', '1.0')(path)}0\r\n\r\n`,
  'length twice the same': withBody('Content-Length: 3\r\nContent-Length: 3\r\n', 'abc'),
  'length twice differing': withBody('Content-Length: 3\r\nContent-Length: 4\r\n', 'abc'),
  'length 3, 3': withBody('Content-Length: 3, 3\r\n', 'abc'),
  'length +3': withBody('Content-Length: +3\r\n', 'abc'),
  'length -1': withBody('Content-Length: -1\r\n', 'abc'),
  'length 0x3': withBody('Content-Length: 0x3\r\n', 'abc'),
  'length 1_0': withBody('Content-Length: 1_0\r\n', 'abc'),
  'length empty': withBody('Content-Length:\r\n', 'abc'),
  'length 2^64+3': withBody('Content-Length: 18446744073709551619\r\n', 'abc'),
  'length with a space before the colon': withBody('Content-Length : 3\r\n', 'abc'),
  'bare LF': (path) => `GET ${path} HTTP/1.1\nHost: a\n\n`,
  'bare CR': (path) => `GET ${path} HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n`,
  NUL: (path) => `GET ${path} HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n`,
  'empty name': head(': b\r\n', 'GET'),
  'no colon': head('X\r\n', 'GET'),
  'leading space': (path) => `GET ${path} HTTP/1.1\r\n Host: a\r\n\r\n`,
  '1,100 lines and a length': withBody(`${'a: b\r\n'.repeat(1_100)}Content-Length: 5\r\n`, 'hello'),
  'chunk size 0x3': chunked('0x3\r\nabc\r\n0\r\n\r\n'),
  'chunk size with a space before': chunked(' 3\r\nabc\r\n0\r\n\r\n'),
  'chunk size with a space behind': chunked('3 \r\nabc\r\n0\r\n\r\n'),
  'chunk size of 17 digits': chunked('fffffffffffffffff\r\nabc\r\n0\r\n\r\n'),
  'chunk size with a bare LF': chunked('3\nabc\r\n0\r\n\r\n'),
  'chunk extension with a bare LF': chunked('3;a\nb\r\nabc\r\n0\r\n\r\n'),
  'chunk without its CRLF': chunked('3\r\nabc0\r\n\r\n'),
  'chunk extension of 20 KB': chunked(`3;${'a'.repeat(20_000)}\r\nabc\r\n0\r\n\r\n`),
  'trailers that frame': chunked(
    '3\r\nabc\r\n0\r\nContent-Length: 5\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n',
  ),
  'DELETE carrying a request': carrying('DELETE'),
  'OPTIONS carrying a request': carrying('OPTIONS'),
  'GET with a body': withBody('Content-Length: 3\r\n', 'abc', 'GET'),
  'HEAD with a body': withBody('Content-Length: 3\r\n', 'abc', 'HEAD'),
  'Connection naming TE': withBody(
    'Connection: close, Transfer-Encoding, Cookie\r\nTransfer-Encoding: chunked\r\n',
    '3\r\nabc\r\n0\r\n\r\n',
  ),
  'hop-by-hop fields': head(
    'Keep-Alive: timeout=5\r\nProxy-Authorization: x\r\nTE: trailers\r\nTrailer: X\r\n',
    'GET',
  ),
  'Host missing': (path) => `GET ${path} HTTP/1.1\r\n\r\n`,
  'Host twice': head('Host: b.example\r\n', 'GET'),
  'Host with a user': (path) => `GET ${path} HTTP/1.1\r\nHost: p@evil\r\n\r\n`,
  'Host as a list': (path) => `GET ${path} HTTP/1.1\r\nHost: p, evil\r\n\r\n`,
  'Host empty': (path) => `GET ${path} HTTP/1.1\r\nHost:\r\n\r\n`,
  'names with underscores': withBody('Content_Length: 9\r\nTransfer_Encoding: chunked\r\n', ''),
  'absolute form': (path) => `GET http://other.example${path} HTTP/1.1\r\nHost: a\r\n\r\n`,
  'GET *': () => 'GET * HTTP/1.1\r\nHost: a\r\n\r\n',
  TRACE: head('', 'TRACE'),
  CONNECT: () => 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n',
  'preface of HTTP/2': () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'dot segment': (path) => head('', 'GET')(`${path}/a/../b`),
  'encoded dot segment': (path) => head('', 'GET')(`${path}/a/%2e%2e/b`),
  backslash: (path) => head('', 'GET')(`${path}/a/..\\b`),
  fragment: (path) => head('', 'GET')(`${path}/a#b`),
  'two slashes': (path) => head('', 'GET')(`${path}//evil.example/x`),
  '%zz': (path) => head('', 'GET')(`${path}/%zz`),
  '%00': (path) => head('', 'GET')(`${path}/%00`),
  h2c: head('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n', 'GET'),
  WebSocket: socket(''),
  'WebSocket with a length': socket('Content-Length: 5\r\n'),
  'WebSocket of version 777 and a GET': (path) =>
    socket('')(path).replace('Version: 13', 'Version: 777') + inner(path),
  '100-continue': withBody('Expect: 100-continue\r\nContent-Length: 3\r\n', 'abc'),
  'another expectation': withBody('Expect: the-unexpected\r\nContent-Length: 3\r\n', 'abc'),
  'a header of 40 KB': head(`X: ${'a'.repeat(40_000)}\r\n`, 'GET'),
  'spoofed X-Forwarded-For': head('X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n', 'GET'),
} satisfies Readonly<Record<string, Bytes>>;

/**
 * The requests that are forwarded. Half of the cases start from them, so that some reach the other
 * side.
 */
export const PASSED: readonly (keyof typeof REQUESTS)[] = [
  'plain GET',
  'plain HEAD',
  'a length',
  'chunks',
  'two requests',
  'DELETE carrying a request',
  'OPTIONS carrying a request',
  'GET with a body',
  'HEAD with a body',
  'Connection naming TE',
  'hop-by-hop fields',
  'names with underscores',
  'trailers that frame',
  'two slashes',
  'WebSocket',
  '100-continue',
  'spoofed X-Forwarded-For',
];

/** Requests that the fuzzer has found, in addition to its seeds. */
export const MORE_REQUESTS: Readonly<Record<string, Bytes>> = {
  'a length of 20 digits': withBody('Content-Length: 18446704073709551619\r\n', 'abc'),
  'two spaces around the target': (path) => `GET  ${path}  HTTP/1.1\r\nHost: a\r\n\r\n`,
  'a handshake with a body behind a refusal': (path) =>
    head('Host: b.example\r\n', 'GET')(path) + socket('Content-Length: 5\r\n')(path),
};
