import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { REFUSALS } from './early-response.ts';
import {
  allowedTrailers,
  dropContentLength,
  dropNominated,
  isIdentityField,
  parseFields,
  stripHopByHop,
  toHeaders,
  upgradeRequired,
} from './header-fields.ts';
import { checkHandshake, hasBody, offersWebSocket, readRequestHead } from './request-head.ts';
import type { RequestHead } from './request-head.ts';

// Each check of a request head, and what an instance gets of its fields.
// test/data-plane/hostile-requests.test.ts sends such requests over sockets.

interface Line {
  readonly method?: string;
  readonly url?: string;
  readonly httpVersion?: string;
}

function requestOf(fields: readonly string[], line: Line = {}): IncomingMessage {
  const req = new IncomingMessage(new Socket());
  const { method = 'GET', url = '/', httpVersion = '1.1' } = line;
  Object.assign(req, { method, url, httpVersion, rawHeaders: [...fields] });
  for (let i = 0; i < fields.length; i += 2) {
    req.headers[(fields[i] ?? '').toLowerCase()] = fields[i + 1];
  }
  return req;
}
const HOST = ['Host', 'a.example'];
const read = (fields: readonly string[], line?: Line, { isTrusted = false, max = 100 } = {}) =>
  readRequestHead(requestOf([...HOST, ...fields], line), isTrusted, max);

function headOf(...input: Parameters<typeof read>): RequestHead {
  const head = read(...input);
  if (head.kind !== 'head') throw new Error(head.detail);
  return head;
}
const lines = (...input: Parameters<typeof read>) => headOf(...input).lines;

test('a plain request has its fields, and nothing else', () => {
  expect(headOf(['Accept', '*/*', 'X-A', '1', 'x-a', '2'])).toMatchObject({
    host: 'a.example',
    lines: 'Accept: */*\r\nX-A: 1\r\nx-a: 2\r\n',
    contentLength: undefined,
    chunked: false,
    expectsContinue: false,
    isServiceWorker: false,
    hasReference: false,
    forwarded: undefined,
  });
});

test('the request line is checked', () => {
  for (const method of ['TRACE', 'CONNECT']) expect(read([], { method })).toBe(REFUSALS.method);
  for (const url of ['*', 'http://a/', '/a/../b']) expect(read([], { url })).toBe(REFUSALS.target);
  expect(read([], { httpVersion: '2.0' })).toBe(REFUSALS.version);
  expect(read([], { httpVersion: '0.9' })).toBe(REFUSALS.version);
  expect(read([], { httpVersion: '1.0' }).kind).toBe('head');
  expect(read(['A', '1'], {}, { max: 2 }).kind).toBe('head');
  expect(read(['A', '1', 'B', '2'], {}, { max: 2 })).toBe(REFUSALS.headers);
});

test('there is one valid Host; HTTP/1.0 may have none', () => {
  const hostOf = (fields: readonly string[], httpVersion = '1.1') =>
    readRequestHead(requestOf(fields, { httpVersion }), false, 100);
  expect(hostOf([])).toBe(REFUSALS.host);
  expect(hostOf([], '1.0')).toMatchObject({ kind: 'head', host: '' });
  for (const bad of ['', 'a b', 'a,b', 'a/b', 'user@a', 'a:x']) {
    expect([bad, hostOf(['Host', bad])]).toEqual([bad, REFUSALS.host]);
    expect([bad, hostOf(['Host', bad], '1.0')]).toEqual([bad, REFUSALS.host]);
  }
  expect(hostOf(['Host', 'a', 'host', 'a'])).toBe(REFUSALS.host);
  expect(hostOf(['Host', 'a:8080'])).toMatchObject({ host: 'a:8080' });
  expect(hostOf(['Host', 'a:'])).toMatchObject({ host: 'a' });
});

test('there is one framing', () => {
  const coding = (...values: string[]) => values.flatMap((value) => ['Transfer-Encoding', value]);
  expect(headOf(coding('chunked'))).toMatchObject({ chunked: true, contentLength: undefined });
  expect(headOf(coding('Chunked')).chunked).toBe(true);
  for (const other of ['gzip, chunked', 'gzip,\tchunked ', ',chunked']) {
    expect([other, read(coding(other))]).toEqual([other, REFUSALS.coding]);
  }
  expect(read(coding('gzip', 'chunked'))).toBe(REFUSALS.coding);
  for (const other of ['identity', 'xchunked', 'chunked, gzip', '']) {
    expect([other, read(coding(other))]).toEqual([other, REFUSALS.framing]);
  }
  expect(read(coding('chunked'), { httpVersion: '1.0' })).toBe(REFUSALS.oldFraming);
  const sized = (digits: string) => read(['Content-Length', digits]);
  expect(sized('9'.repeat(15))).toMatchObject({ contentLength: '9'.repeat(15) });
  expect(sized('1'.repeat(16))).toBe(REFUSALS.malformed);
  expect(hasBody(headOf(coding('chunked')))).toBe(true);
  expect(['0', '1', '00'].map((size) => hasBody(headOf(['Content-Length', size])))).toEqual([
    ...[false, true, false],
  ]);
  expect(hasBody(headOf([]))).toBe(false);
  // Neither is forwarded: the proxy writes its own.
  expect(lines(['Content-Length', '5', 'A', '1'])).toBe('A: 1\r\n');
  expect(lines([...coding('chunked'), 'A', '1'])).toBe('A: 1\r\n');
});

test('the one expectation is 100-continue, which HTTP/1.0 does not have', () => {
  expect(headOf(['Expect', '100-Continue'])).toMatchObject({ expectsContinue: true, lines: '' });
  expect(headOf(['Expect', '100-continue'], { httpVersion: '1.0' }).expectsContinue).toBe(false);
  expect(read(['Expect', 'x'])).toBe(REFUSALS.expectation);
  expect(read(['Expect', '100-continue', 'expect', '100-continue'])).toBe(REFUSALS.expectation);
});

test.each([
  ...['Upgrade', 'Keep-Alive', 'TE', 'Trailer', 'HTTP2-Settings', 'Ephemera-Token', 'Forwarded'],
  ...['Proxy', 'Proxy-Authorization', 'X_Real_IP', 'Remote_User', 'Connection'],
])('an instance never gets %s', (name) => {
  for (const isTrusted of [false, true]) {
    expect(lines([name, 'x', 'A', '1'], {}, { isTrusted })).toBe('A: 1\r\n');
    expect(lines([name.toUpperCase(), 'x'], {}, { isTrusted })).toBe('');
  }
});

test('what Connection nominates is removed, in any case', () => {
  const fields = ['A', '1', 'B-B', '2', 'C', '3'];
  expect(lines(['Connection', 'a, B-b', ...fields])).toBe('C: 3\r\n');
  expect(lines(['Connection', 'a', ...fields, 'connection', 'c'])).toBe('B-B: 2\r\n');
  for (const usual of ['keep-alive', 'close', 'Upgrade']) {
    expect(lines(['Connection', usual, ...fields])).toBe('A: 1\r\nB-B: 2\r\nC: 3\r\n');
  }
});

test('only a trusted peer describes the client', () => {
  const fields = ['X-Forwarded-Proto', 'https', 'X-Forwarded-For', '192.0.2.1', 'X-Real-IP', 'x'];
  expect(headOf([...fields, 'Remote-User', 'eve'])).toMatchObject({
    lines: '',
    forwarded: undefined,
  });
  const trusted = headOf(fields, {}, { isTrusted: true });
  expect(trusted.lines).toBe('');
  expect(trusted.forwarded?.proto).toBe('https');
  expect(headOf([], {}, { isTrusted: true }).forwarded).toBeDefined();
});

test('own cookies are removed, and special fields are noted', () => {
  expect(lines(['Cookie', 'a=1; ephemera-token=x'])).toBe('Cookie: a=1\r\n');
  expect(lines(['Cookie', 'ephemera-token=x'])).toBe('');
  const worker = headOf(['Service-Worker', 'script']);
  expect(worker).toMatchObject({ isServiceWorker: true, lines: 'Service-Worker: script\r\n' });
  for (const name of ['Destination', 'If']) {
    const head = headOf([name, '/x']);
    expect(head).toMatchObject({ hasReference: true, lines: `${name}: /x\r\n` });
  }
});

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const HANDSHAKE = ['Upgrade', 'websocket', 'Sec-WebSocket-Key', KEY, 'Sec-WebSocket-Version', '13'];

test('a handshake is a GET in HTTP/1.1 that offers websocket', () => {
  const offers = (upgrade: string | undefined, line?: Line) =>
    offersWebSocket(requestOf(upgrade === undefined ? [] : ['Upgrade', upgrade], line));
  for (const yes of ['websocket', 'WebSocket', 'h2c, websocket', ' websocket ,h2c']) {
    expect([yes, offers(yes)]).toEqual([yes, true]);
  }
  for (const no of [undefined, '', 'h2c', 'websockets', 'websocket h2c']) {
    expect([no, offers(no)]).toEqual([no, false]);
  }
  expect(offers('websocket', { method: 'POST' })).toBe(false);
  expect(offers('websocket', { httpVersion: '1.0' })).toBe(false);
});

test('a handshake has a key, the version 13 and no body', () => {
  const check = (fields: readonly string[]) => {
    const req = requestOf([...HOST, ...fields]);
    const head = readRequestHead(req, false, 100);
    if (head.kind !== 'head') throw new Error(head.detail);
    return checkHandshake(req, head);
  };
  expect(check(HANDSHAKE)).toBeUndefined();
  expect(check([...HANDSHAKE, 'Content-Length', '0'])).toBeUndefined();
  expect(check([...HANDSHAKE, 'Content-Length', '1'])).toBe(REFUSALS.upgrade);
  expect(check(HANDSHAKE.slice(0, 2))).toBe(REFUSALS.upgrade);
  for (const key of ['x', `${KEY}=`, `x${KEY}`, `${KEY.slice(0, 21)}B==`]) {
    expect(check([...HANDSHAKE, 'Sec-WebSocket-Key', key])).toBe(REFUSALS.upgrade);
  }
  expect(check([...HANDSHAKE, 'Sec-WebSocket-Version', '8'])).toBe(REFUSALS.webSocketVersion);
  expect(check(HANDSHAKE.slice(0, 4))).toBe(REFUSALS.webSocketVersion);
});

test('fields of responses: framing, hop-by-hop, repeated ones', () => {
  const fields = ['Content-Length', '1', 'A', '2', 'CONTENT-LENGTH', '3'];
  expect(dropContentLength(fields)).toEqual(['A', '2']);
  const hops = ['Connection', 'Keep-Alive', 'TE', 'Trailer', 'Transfer-Encoding', 'Upgrade'];
  const withHops = [...hops, 'Proxy-Authenticate'].flatMap((name) => [name, 'x']);
  expect(stripHopByHop([...withHops, 'Proxy', '1', 'A', '2'])).toEqual(['Proxy', '1', 'A', '2']);
  expect(upgradeRequired('h2c', true)).toEqual(['Upgrade', 'h2c', 'Connection', 'close, Upgrade']);
  expect(upgradeRequired('h2c', false)).toEqual(['Upgrade', 'h2c', 'Connection', 'Upgrade']);
  const headers = toHeaders(['A', '1', 'b', '2', 'a', '3', 'A', '4']);
  expect({ ...headers }).toEqual({ A: ['1', '3', '4'], b: '2' });
  expect(Object.entries(toHeaders(['constructor', 'y']))).toEqual([['constructor', 'y']]);
  expect(parseFields('A: 1\r\nB: x:y\r\n')).toEqual(['A', '1', 'B', 'x:y']);
  expect(dropNominated('A: 1\r\nBc: 2\r\nD: bc\r\n', new Set(['bc']))).toBe('A: 1\r\nD: bc\r\n');
});

test.each([
  ...[
    'x-auth-request-user',
    'remote-user',
    'remote-groups',
    'x-forwarded-user',
    'x-forwarded-email',
  ],
  ...['x-forwarded-access-token', 'x-forwarded-preferred-username', 'x-forwarded-groups-x'],
])('%s tells who the visitor is', (name) => {
  expect(isIdentityField(name)).toBe(true);
});

test.each([
  ...['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-remote-user', 'remote-users'],
  ...['ax-auth-request-user', 'x-forwarded-userx', 'authorization'],
])('%s does not', (name) => {
  expect(isIdentityField(name)).toBe(false);
});

test.each([
  ...['Transfer-Encoding', 'content-length', 'Host', 'Set-Cookie', 'Authorization', 'X-Real-IP'],
  ...['X-Forwarded-For', 'Remote-User', 'Proxy-Authorization', 'a_b', 'Expect', 'Connection'],
])('%s is no trailer', (name) => {
  expect(allowedTrailers([name, 'x', 'Checksum', 'y'])).toEqual([['Checksum', 'y']]);
});
