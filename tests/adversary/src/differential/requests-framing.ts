/** What clients send: framing, chunks and the form of a head. Each row is one requirement. */
import {
  inPieces,
  aborted,
  ABC,
  CHUNKED,
  delivered,
  each,
  get,
  type Message,
  post,
  refused,
  request,
  type Row,
  sent,
  target,
} from './message.ts';

const inner = 'GET /inner HTTP/1.1\r\nHost: a\r\n\r\n';
const asChunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;

/** A message whose head is sent as given, behind the request line. */
const lines = (text: string): Message => ({
  send: (to) => `GET ${to.at('/hi')} HTTP/1.1\r\n${text}`,
});

export const FRAMING_ROWS: readonly Row[] = [
  {
    row: 'Content-Length with Transfer-Encoding, and a Transfer-Encoding that is not exactly chunked',
    required: refused(400),
    messages: {
      'a length and chunks': post(['Content-Length: 5', CHUNKED], '0\r\n\r\n'),
      'chunks and a length': post([CHUNKED, 'Content-Length: 5'], '0\r\n\r\n'),
      xchunked: post(['Transfer-Encoding: xchunked'], '0\r\n\r\n'),
      'chunked, identity': post(['Transfer-Encoding: chunked, identity'], '0\r\n\r\n'),
      'chunked twice': post([CHUNKED, CHUNKED], '0\r\n\r\n'),
      'a space before the colon': post(['Transfer-Encoding : chunked'], '0\r\n\r\n'),
      'a vertical tab': post(['Transfer-Encoding: \x0bchunked'], '0\r\n\r\n'),
      'a control byte behind': post(['Transfer-Encoding: chunked\x01'], '0\r\n\r\n'),
      folded: post(['Transfer-Encoding:', ' chunked'], '0\r\n\r\n'),
      'identity alone': post(['Transfer-Encoding: identity'], ''),
      'quoted chunked': post(['Transfer-Encoding: "chunked"'], '0\r\n\r\n'),
    },
  },
  {
    row: 'Transfer-Encoding with another coding before chunked',
    required: refused(501),
    messages: {
      'identity, chunked': post(['Transfer-Encoding: identity, chunked'], '0\r\n\r\n'),
      'gzip, chunked': post(['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'),
      'gzip and chunked in two lines': post(['Transfer-Encoding: gzip', CHUNKED], '0\r\n\r\n'),
    },
  },
  {
    row: 'Transfer-Encoding on HTTP/1.0',
    required: refused(400),
    messages: {
      chunked: sent({ method: 'POST', version: '1.0', lines: [CHUNKED], body: ABC }),
    },
  },
  {
    row: 'Content-Length that is repeated or not a plain number',
    required: refused(400),
    messages: {
      ...each(
        {
          'twice the same': ['Content-Length: 3', 'Content-Length: 3'],
          'twice differing': ['Content-Length: 3', 'Content-Length: 4'],
          'the same in a list': ['Content-Length: 3, 3'],
          'a plus sign': ['Content-Length: +3'],
          'a minus sign': ['Content-Length: -1'],
          hexadecimal: ['Content-Length: 0x3'],
          'an underscore': ['Content-Length: 1_0'],
          empty: ['Content-Length:'],
          '2^64+3': ['Content-Length: 18446744073709551619'],
          'a space before the colon': ['Content-Length : 3'],
          'a decimal point': ['Content-Length: 3.0'],
          'two numbers': ['Content-Length: 3 3'],
        },
        (fields) => post(fields, 'abc'),
      ),
    },
  },
  {
    row: 'a head that is not made of lines that end with CRLF, each with a name and a colon',
    required: refused(400),
    exception: {
      section: 'RFC 9112 2.2',
      reason:
        'A server may accept a lone LF as the end of a line, and need not. A proxy that accepts it and a server that does not see different requests.',
    },
    messages: {
      'bare LF everywhere': { send: (to) => `GET ${to.at('/hi')} HTTP/1.1\nHost: ${to.host}\n\n` },
      'bare LF behind one field': {
        send: (to) => `GET ${to.at('/hi')} HTTP/1.1\r\nHost: ${to.host}\nX: 1\r\n\r\n`,
      },
      'bare CR in a value': get(['X: a\rb']),
      'NUL in a value': get(['X: a\0b']),
      'an empty name': get([': b']),
      'no colon': get(['X']),
      'a space before the first name': lines(' Host: a\r\n\r\n'),
      'a folded line': get(['X: a', ' b']),
      'a space in a name': get(['X Y: 1']),
      'NUL in a name': get(['X\0: 1']),
    },
  },
  {
    row: 'more header lines or bytes than the limit',
    required: refused(431),
    messages: {
      '2,000 lines and a length': post(
        [...Array<string>(2_000).fill('a: b'), 'Content-Length: 5'],
        'hello',
      ),
      'a header of 200 KB': get([`X: ${'a'.repeat(200_000)}`]),
    },
  },
  {
    row: 'header lines and bytes as honest clients send them',
    required: delivered(),
    messages: {
      '60 lines': get(
        Array.from({ length: 60 }, (_, i) => `X-${i}: ${i}`),
        {
          arrives: [/\r\nX-59: 59\r\n/],
        },
      ),
      'a cookie of 6 KB': get([`Cookie: a=${'b'.repeat(6_000)}`], { arrives: [/a=b{6000}\r\n/] }),
      'a query of 6 KB': target(`/hi?${'q'.repeat(6_000)}`),
    },
  },
  {
    row: 'a chunk that is malformed',
    required: aborted(400),
    exception: {
      section: 'RFC 9112 7.1',
      reason:
        'A chunk size is hexadecimal digits alone, and CRLF ends its line. Servers that read another spelling differently see different requests.',
    },
    messages: each(
      {
        'size 0x3': '0x3\r\nabc\r\n0\r\n\r\n',
        'a space before the size': ' 3\r\nabc\r\n0\r\n\r\n',
        'a space behind the size': '3 \r\nabc\r\n0\r\n\r\n',
        '17 hexadecimal digits': 'fffffffffffffffff\r\nabc\r\n0\r\n\r\n',
        'LF behind the size': '3\nabc\r\n0\r\n\r\n',
        'LF in an extension': '3;a\nb\r\nabc\r\n0\r\n\r\n',
        'no CRLF behind the data': '3\r\nabc0\r\n\r\n',
        'a negative size': '-3\r\nabc\r\n0\r\n\r\n',
        'an empty size': '\r\nabc\r\n0\r\n\r\n',
        'LF behind the data': '3\r\nabc\n0\r\n\r\n',
      },
      (body) => post([CHUNKED], body),
    ),
  },
  {
    row: 'a chunk extension of 20 KB',
    required: aborted(413),
    messages: {
      'one extension': post([CHUNKED], `3;${'a'.repeat(20_000)}\r\nabc\r\n0\r\n\r\n`),
    },
  },
  {
    row: 'chunks as honest clients send them',
    required: delivered(),
    messages: {
      'one chunk': post([CHUNKED], ABC, { body: 'abc' }),
      'a short extension': post([CHUNKED], '3;a=b\r\nabc\r\n0\r\n\r\n', { body: 'abc' }),
      'an extension with a quoted value': post([CHUNKED], '3;a="b c"\r\nabc\r\n0;x\r\n\r\n', {
        body: 'abc',
      }),
      'a size with leading zeros': post([CHUNKED], '0003\r\nabc\r\n0\r\n\r\n', { body: 'abc' }),
      'a size in capitals': post([CHUNKED], `A\r\n0123456789\r\n00\r\n\r\n`, {
        body: '0123456789',
      }),
      'Chunked with a capital': post(['Transfer-Encoding: Chunked'], ABC, { body: 'abc' }),
      'no space behind the colon': post(['Transfer-Encoding:chunked'], ABC, { body: 'abc' }),
      'a trailer': post([CHUNKED, 'Trailer: X-Sum'], '3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n', {
        body: 'abc',
      }),
      'in pieces of three bytes': {
        send: (to) => inPieces(request(to, { method: 'POST', lines: [CHUNKED], body: ABC }), 3, 1),
        body: 'abc',
      },
    },
  },
  {
    row: 'trailers that frame',
    required: aborted(400),
    exception: {
      section: 'RFC 9110 6.5.1',
      reason: 'A trailer must not change the framing. The HTTP parser of Node.js refuses it.',
    },
    messages: each(
      { 'Content-Length': 'Content-Length: 5', 'Transfer-Encoding': 'Transfer-Encoding: chunked' },
      (line) => post([CHUNKED], `3\r\nabc\r\n0\r\n${line}\r\n\r\n`),
    ),
  },
  {
    row: 'trailers that name the client',
    required: delivered(),
    messages: each(
      {
        'X-Forwarded-For': 'X-Forwarded-For: 6.6.6.6',
        'X-Real-IP': 'X-Real-IP: 6.6.6.6',
        Forwarded: 'Forwarded: for=6.6.6.6',
      },
      (line) => post([CHUNKED], `3\r\nabc\r\n0\r\n${line}\r\n\r\n`, { absent: /6\.6\.6\.6/ }),
    ),
  },
  {
    row: 'a body that contains a request',
    required: delivered(),
    messages: {
      ...each({ DELETE: 'DELETE', OPTIONS: 'OPTIONS', PUT: 'PUT', GET: 'GET' }, (method) =>
        sent({ method, lines: [CHUNKED], body: asChunk(inner) }, { body: inner }),
      ),
      'DELETE with a length': sent(
        { method: 'DELETE', lines: [`Content-Length: ${inner.length}`], body: inner },
        { body: inner },
      ),
    },
  },
  {
    row: 'GET or HEAD with a body',
    required: delivered(),
    messages: {
      'GET with a body': sent({ lines: ['Content-Length: 3'], body: 'abc' }, { body: 'abc' }),
      'HEAD with a body': sent(
        { method: 'HEAD', lines: ['Content-Length: 3'], body: 'abc' },
        { body: 'abc', method: 'HEAD' },
      ),
      'GET with the length 0': sent({ lines: ['Content-Length: 0'] }, { body: '' }),
    },
  },
  {
    row: 'lengths as honest clients send them',
    required: delivered(),
    messages: {
      'a length': post(['Content-Length: 3'], 'abc', { body: 'abc' }),
      'leading zeros': post(['Content-Length: 003'], 'abc', { body: 'abc' }),
      'spaces around': post(['Content-Length:  3 '], 'abc', { body: 'abc' }),
      'in small letters': post(['content-length:3'], 'abc', { body: 'abc' }),
      'POST without a length': post([], '', { body: '' }),
      'PUT with the length 0': sent({ method: 'PUT', lines: ['Content-Length: 0'] }, { body: '' }),
      'two requests at once': { send: (to) => request(to).repeat(2), requests: 2 },
      'three requests, two with bodies': {
        send: (to) =>
          request(to, { method: 'POST', lines: ['Content-Length: 3'], body: 'abc' }) +
          request(to, { method: 'PUT', lines: [CHUNKED], body: ABC }) +
          request(to),
        requests: 3,
      },
      'an empty line before the request': { send: (to) => `\r\n${request(to)}` },
      'an empty line between requests': {
        send: (to) =>
          `${request(to, { method: 'POST', lines: ['Content-Length: 3'], body: 'abc' })}\r\n${request(to)}`,
        requests: 2,
      },
      'HTTP/1.0': sent({ version: '1.0' }),
      'HTTP/1.0 with a body': sent(
        { method: 'POST', version: '1.0', lines: ['Content-Length: 3'], body: 'abc' },
        { body: 'abc' },
      ),
      'HTTP/1.0 with keep-alive': {
        send: (to) => request(to, { version: '1.0', lines: ['Connection: keep-alive'] }).repeat(2),
        requests: 2,
      },
    },
  },
  {
    row: 'a slow client that goes on',
    required: delivered(),
    messages: {
      'the head in pieces': {
        send: (to) =>
          request(to)
            .match(/[^]{1,20}/g)
            ?.flatMap((piece) => [piece, 10]) ?? [],
      },
      'the body in pieces': {
        send: (to) => [
          request(to, { method: 'POST', lines: ['Content-Length: 3'] }),
          ...['a', 100, 'b', 100, 'c'],
        ],
        body: 'abc',
      },
    },
  },
];
