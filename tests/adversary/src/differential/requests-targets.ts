/** What clients send: request lines and Host. Each row is one requirement. */
import {
  delivered,
  each,
  type Message,
  refused,
  request,
  type Row,
  sent,
  target,
} from './message.ts';

/** A message whose head is sent as given, behind the request line. */
const lines = (text: string): Message => ({
  send: (to) => `GET ${to.at('/hi')} HTTP/1.1\r\n${text}`,
});
const hosted = (host: string): Message => ({
  send: (to) => request(to, { host: `Host: ${host.replaceAll('HOST', to.host)}` }),
});
const absolute = (
  write: (host: string, path: string) => string,
  host = 'Host: other.example',
): Message => ({
  send: (to) => `GET ${write(to.host, to.at('/hi'))} HTTP/1.1\r\n${host}\r\n\r\n`,
  arrives: [/^GET \/hi HTTP\/1\.1\r\n/],
});

export const TARGETS_ROWS: readonly Row[] = [
  {
    row: 'a Host that is missing on HTTP/1.1, repeated, or not one name',
    required: refused(400),
    exception: {
      section: 'RFC 9112 3.2',
      reason:
        'A server must refuse a Host that is repeated or invalid. Two servers could take different names from it.',
    },
    messages: {
      missing: lines('\r\n'),
      'twice the same': hosted('HOST\r\nHost: HOST'),
      'twice differing': hosted('HOST\r\nHost: b.example'),
      'with a user': hosted('p@evil'),
      'with the user of the instance': hosted('p@HOST'),
      'a list': hosted('HOST, evil'),
      'a list without a space': hosted('HOST,evil'),
      empty: hosted(''),
      'with a path': hosted('HOST/x'),
      'with a scheme': hosted('http://HOST'),
      'a port that is no number': hosted('HOST:x'),
      'a space inside': hosted('HOST evil'),
    },
  },
  {
    row: 'Host in another spelling of the same name',
    required: delivered(),
    messages: {
      ...each(
        {
          'a final dot': 'HOST.',
          'an empty port': 'HOST:',
          'the usual port': 'HOST:80',
          'another port': 'HOST:8080',
          'a final dot and a port': 'HOST.:8080',
          'a final dot and an empty port': 'HOST.:',
          'spaces around': ' HOST ',
        },
        hosted,
      ),
      capitals: { send: (to) => request(to, { host: `HOST: ${to.host.toUpperCase()}` }) },
      'another case of the domain': {
        send: (to) => request(to, { host: `host: ${to.host.replace('apps', 'aPPs')}` }),
      },
    },
  },
  {
    row: 'a name in the path form that needs no Host',
    required: delivered(),
    messages: {
      'HTTP/1.0 without Host': { ...sent({ version: '1.0', host: '' }), forms: ['path'] },
      'an IPv6 address': { ...hosted('[::1]:8080'), forms: ['path'] },
      'an underscore': { ...hosted('my_host'), forms: ['path'] },
    },
  },
  {
    row: 'a target in absolute form',
    required: delivered(),
    messages: {
      'another Host': absolute((host, path) => `http://${host}${path}`),
      'the same Host': {
        ...absolute((host, path) => `http://${host}${path}`),
        send: (to) => `GET http://${to.host}${to.at('/hi')} HTTP/1.1\r\nHost: ${to.host}\r\n\r\n`,
      },
      'a port': absolute((host, path) => `http://${host}:8080${path}`),
      'an empty port': absolute((host, path) => `http://${host}:${path}`),
      'the scheme in capitals': absolute((host, path) => `HTTP://${host}${path}`),
      'the host in capitals': absolute((host, path) => `http://${host.toUpperCase()}${path}`),
      'a final dot': absolute((host, path) => `http://${host}.${path}`),
      'a query': {
        send: (to) => `GET http://${to.host}${to.at('/hi?a=b')} HTTP/1.1\r\nHost: x\r\n\r\n`,
        arrives: [/^GET \/hi\?a=b HTTP\/1\.1\r\n/],
      },
      'no path': {
        send: (to) => `GET http://${to.host} HTTP/1.1\r\nHost: ${to.host}\r\n\r\n`,
        forms: ['host'],
        arrives: [/^GET \/ HTTP\/1\.1\r\n/],
      },
      'a POST with a body': {
        send: (to) =>
          `POST http://${to.host}${to.at('/hi')} HTTP/1.1\r\nHost: ${to.host}\r\nContent-Length: 3\r\n\r\nabc`,
        body: 'abc',
        arrives: [/^POST \/hi HTTP\/1\.1\r\n/],
      },
    },
  },
  {
    row: 'a target in absolute form that names no HTTP host, or a user',
    required: refused(400),
    messages: {
      'a user': absolute((host, path) => `http://user@${host}${path}`),
      'no host': absolute((_host, path) => `http://${path}`),
      ftp: absolute((host, path) => `ftp://${host}${path}`),
      'no slashes': absolute((host, path) => `http:${host}${path}`),
    },
  },
  {
    row: 'GET *',
    required: refused(400),
    messages: { 'GET *': { send: (to) => `GET * HTTP/1.1\r\nHost: ${to.host}\r\n\r\n` } },
  },
  {
    row: 'TRACE and CONNECT',
    required: refused(405),
    messages: {
      TRACE: sent({ method: 'TRACE' }),
      CONNECT: { send: (to) => `CONNECT ${to.host}:443 HTTP/1.1\r\nHost: ${to.host}\r\n\r\n` },
    },
  },
  {
    row: 'another version of HTTP',
    required: refused(505),
    messages: {
      'the preface of HTTP/2': { send: () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
      'HTTP/2.0': sent({ version: '2.0' }),
    },
  },
  {
    row: 'a version that does not exist',
    required: refused(400, 505),
    exception: {
      section: 'RFC 9112 2.3',
      reason: 'The HTTP parser of Node.js knows the versions that were published. There is no 1.2.',
    },
    messages: each({ '3.0': '3.0', '1.2': '1.2', '1.10': '1.10', '01.1': '01.1' }, (version) =>
      sent({ version }),
    ),
  },
  {
    row: 'bytes outside ASCII in a target',
    required: refused(400),
    messages: { 'in the query': target('/q?\xe9'), 'in the path': target('/\xc3\xa9') },
  },
  {
    row: 'a method that the parser does not know',
    required: refused(501),
    exception: {
      section: 'RFC 9110 9.1',
      reason: 'The HTTP parser of Node.js knows a fixed list of methods.',
    },
    messages: each({ FOO: 'FOO', BREW: 'BREW', 'VERSION-CONTROL': 'VERSION-CONTROL' }, (method) =>
      sent({ method }),
    ),
  },
  {
    row: 'methods that clients use',
    required: delivered(),
    messages: each(
      Object.fromEntries(
        'PUT PATCH DELETE OPTIONS PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH MKCALENDAR PURGE QUERY'
          .split(' ')
          .map((name) => [name, name]),
      ),
      (method) => sent({ method, path: '/hi' }),
    ),
  },
  {
    row: 'a dot segment, a backslash or a # in the path',
    required: refused(400),
    exception: {
      section: 'RFC 3986 5.2.4',
      reason:
        'Servers resolve dot segments and backslashes differently, so a path could lead out of its instance. A # never belongs to a target.',
    },
    messages: each(
      {
        'a dot segment': '/a/../b',
        'a dot segment at the end': '/a/..',
        'one dot': '/./b',
        'an encoded dot segment': '/a/%2e%2e/b',
        'half an encoded one': '/a/.%2E?c',
        'one encoded dot': '/%2e/b',
        'a backslash': '/a/..\\b',
        'a backslash at the end': '/a\\',
        'a fragment': '/a#b',
      },
      target,
    ),
  },
  {
    row: 'the query belongs to the instance',
    required: delivered(),
    messages: each(
      Object.fromEntries(
        [
          ...['/q?q=C:\\dir\\f', '/q?re=\\d+', '/q?a=%5C', '/q?a=|{}^`[]"<>', "/q?a='", '/q?'],
          ...['/q?a=../..', '/q?a=/../b', '/q?a=%2e%2e/', '/q?u=http://x//y', '/q?a=b?c=d'],
          ...['/q?%zz', '/?//', '/q?a=/./', '/q?..', '/q?a&b;c=d+e', '/q?a=#b'],
        ].map((path) => [JSON.stringify(path), path]),
      ),
      target,
    ),
  },
  {
    row: 'a path as sent',
    required: delivered(),
    messages: each(
      Object.fromEntries(
        [
          ...['//', '//a', '/a//b', '/ws://127.0.0.1:1/x', '/a%2Fb', '/a%3Fb/ws', '/a%20b'],
          ...['/%252F', '/a;v=1/b', '/a:8080/b', '/a@b', '/a/', '/.a', '/...', '/a/..b', '/a.'],
          ...['/*', '/a+b', '/~u', '/?x=1&x=2&y', '/%C3%A9', '/%7Bx%7D', '/%E9/', '/a%23'],
          ...['//evil.com/x', '/%2e%2e%2fx', '/%00', '/%zz', '/%', '/..;/x', "/a'b", '/{}|^`"<>'],
        ].map((path) => [JSON.stringify(path), path]),
      ),
      target,
    ),
  },
  {
    row: 'an id with encoded characters',
    required: refused(404),
    exception: {
      section: 'RFC 3986 2.2',
      reason:
        'The id is matched on the raw bytes, so that no server can read another id from them.',
    },
    messages: {
      'a%2f..%2fb': {
        send: (to) => `GET /demo/a%2f..%2fb HTTP/1.1\r\nHost: ${to.host}\r\n\r\n`,
        forms: ['path'],
      },
      'an encoded letter': {
        send: (to) =>
          `GET /demo/%${(to.id.codePointAt(0) ?? 0).toString(16)}${to.id.slice(1)}/ HTTP/1.1\r\nHost: ${to.host}\r\n\r\n`,
        forms: ['path'],
      },
    },
  },
];
