/** What instances answer. Each row is one requirement for the responses of a container. */
import {
  CHUNKED,
  END,
  RESET,
  type UpstreamStep,
  inPieces,
  answered,
  cut,
  delivered,
  each,
  literal,
  type Message,
  refused,
  aborted,
  request,
  type Row,
  WEBSOCKET,
} from './message.ts';

const ok = (lines: readonly string[], body = 'ok', status = '200 OK') =>
  `HTTP/1.1 ${status}\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n${body}`;
const LENGTH = 'Content-Length: 2';
const FRAMED = ok([LENGTH]);
const early = (status = '103 Early Hints', lines: readonly string[] = []) =>
  `HTTP/1.1 ${status}\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
const received = { received: 'ok' } as const;
const WHOLE = 256 * 1024;

/** An upload whose instance answers on its head and then ends its connection. */
const uploading = (how: readonly UpstreamStep[], framing: string): Message => ({
  send: (to) => {
    const pieces = Array.from({ length: 16 }, () => 'a'.repeat(WHOLE / 16));
    const wire =
      framing === CHUNKED ? pieces.map((p) => `${p.length.toString(16)}\r\n${p}\r\n`) : pieces;
    return [
      request(to, { method: 'PUT', lines: [framing] }),
      ...wire.flatMap((piece) => [piece, 5]),
      ...(framing === CHUNKED ? ['0\r\n\r\n'] : []),
    ];
  },
  isEarly: true,
  reply: () => [ok(['Content-Length: 7', 'Connection: close'], 'too big', '413 Too Large'), ...how],
  received: 'too big',
});

const location = (
  line: string | ((host: string) => string),
  expected: (prefix: string) => RegExp,
): Message => ({
  send: (to) => request(to),
  reply: (_arrival, to) => [
    ok(
      [
        typeof line === 'string' ? line.replaceAll('PORT', String(to.upstreamPort)) : line(to.host),
        'Content-Length: 0',
      ],
      '',
      '302 Found',
    ),
  ],
  fields: (to) => [expected(to.at(''))],
});
const found = (name: string, value: string) =>
  new RegExp(`\\r\\n${name}: ${literal(value)}\\r\\n`, 'i');

export const RESPONSE_ROWS: readonly Row[] = [
  {
    row: 'a status that is none, or a head with control bytes',
    required: refused(502),
    exception: {
      section: 'RFC 9110 5.5 and 15',
      reason: 'A status below 100 has no class, and control bytes end a line for some clients.',
    },
    messages: each(
      {
        '000': ok([LENGTH], 'ok', '000 Zero'),
        '099': ok([LENGTH], 'ok', '099 Low'),
        '1000': ok([LENGTH], 'ok', '1000 High'),
        'two digits': ok([LENGTH], 'ok', '20 OK'),
        'a control byte in the reason': ok([LENGTH], 'ok', '200 O\x01K'),
        'NUL in the reason': ok([LENGTH], 'ok', '200 O\0K'),
        'a control byte in a field': ok(['X: a\x01b', LENGTH]),
        'NUL in a field': ok(['X: a\0b', LENGTH]),
        'bare CR in a field': ok(['X: a\rb', LENGTH]),
        'a space in a name': ok(['X Y: 1', LENGTH]),
        'a space before a colon': ok(['X : 1', LENGTH]),
        'another protocol': 'SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n',
      },
      (bytes) => answered(bytes),
    ),
  },
  {
    row: 'a response that is framed in two ways, folded, or with a bare LF',
    required: refused(502),
    exception: {
      section: 'RFC 9112 2.2, 5.2 and 6.3',
      reason: 'Two clients could see different ends of the response. The log has the reason.',
    },
    messages: each(
      {
        'a length and chunks': ok([LENGTH, CHUNKED], '2\r\nok\r\n0\r\n\r\n'),
        'chunks and a length': ok([CHUNKED, 'Content-Length: 12'], '2\r\nok\r\n0\r\n\r\n'),
        'two lengths': ok([LENGTH, 'Content-Length: 3']),
        'two lengths in a list': ok(['Content-Length: 2, 3']),
        'a length that is no number': ok(['Content-Length: x']),
        'a negative length': ok(['Content-Length: -2']),
        'a folded line': ok(['X: a', ' b', LENGTH]),
        'bare LF everywhere': FRAMED.replaceAll('\r\n', '\n'),
        'bare LF behind the status': FRAMED.replace('\r\n', '\n'),
        'a space before the colon of the length': ok(['Content-Length : 2']),
        'gzip, chunked': ok(['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'),
      },
      (bytes) => answered([bytes, 20, END]),
    ),
  },
  {
    row: 'Trailer on a response without chunks',
    required: delivered(),
    messages: {
      'a length': answered(ok([LENGTH, 'Trailer: X-Sum']), {
        ...received,
        missing: /\r\ntrailer/i,
      }),
      HEAD: answered(ok(['Content-Type: text/plain', 'Trailer: Grpc-Status'], ''), {
        method: 'HEAD',
        missing: /\r\ntrailer/i,
      }),
      'HEAD with chunks': answered(ok([CHUNKED, 'Trailer: X-Sum'], ''), { method: 'HEAD' }),
      'HEAD with a length': answered(ok([LENGTH, 'Trailer: X-Sum'], ''), {
        method: 'HEAD',
        missing: /\r\ntrailer/i,
      }),
      'an empty field': answered(ok([LENGTH, 'Trailer: ']), received),
      'two fields': answered(ok([LENGTH, 'Trailer: A', 'Trailer: B']), received),
      'until the end': answered([ok(['Trailer: X-Sum', 'Connection: close']), END], received),
      'HTTP/1.0': answered(
        [ok([LENGTH, 'Trailer: X-Sum']).replace('HTTP/1.1', 'HTTP/1.0'), END],
        received,
      ),
    },
  },
  {
    row: 'Trailer on a response that has no body',
    required: delivered(304),
    messages: {
      '304': answered(ok(['ETag: "a"', 'Trailer: X-Sum'], '', '304 Not Modified'), {
        missing: /\r\ntrailer/i,
      }),
      '304 with a length': answered(
        ok(['Trailer: X', 'Content-Length: 6'], '', '304 Not Modified'),
      ),
      '304 with chunks': answered(ok(['Trailer: X', CHUNKED], '', '304 Not Modified')),
    },
  },
  {
    row: 'Trailer on 204',
    required: delivered(204),
    messages: {
      '204': answered(ok(['Trailer: X-Sum'], '', '204 No Content'), { missing: /\r\ntrailer/i }),
    },
  },
  {
    row: '204 as servers send it',
    required: delivered(204),
    messages: {
      plain: answered(ok([], '', '204 No Content')),
      'with the length 0': answered(ok(['Content-Length: 0'], '', '204 No Content')),
      'with close': answered([ok(['Connection: close'], '', '204 No Content'), END]),
    },
  },
  {
    row: 'headers that never end',
    required: refused(502),
    messages: {
      '1 MB': answered(ok([`X: ${'a'.repeat(1_000_000)}`, LENGTH])),
      'many lines': answered(ok([...Array<string>(50_000).fill('X: aaaaaaaaaaaaaaaa'), LENGTH])),
      'the end of the connection in the head': answered(['HTTP/1.1 200 OK\r\nX: a', END]),
    },
  },
  {
    row: 'a body that is shorter than its framing',
    required: cut,
    messages: {
      'a length, then the end': answered([ok(['Content-Length: 10'], 'short'), 50, END]),
      'a length, then a reset': answered([ok(['Content-Length: 10'], 'short'), 50, RESET]),
      'chunks, then the end': answered([ok([CHUNKED], '5\r\nshort\r\n'), 50, END]),
      'chunks, then a reset': answered([ok([CHUNKED], '5\r\nshort\r\n'), 50, RESET]),
      'half a chunk': answered([ok([CHUNKED], '10\r\nshort'), 50, END]),
      'no last line of the trailers': answered([ok([CHUNKED], '5\r\nshort\r\n0\r\n'), 50, END]),
      'until the end, then a reset': answered([ok(['Connection: close'], 'short'), 50, RESET]),
      'a malformed chunk': answered([ok([CHUNKED], '5\r\nshort\r\n'), 50, 'xyz\r\n', END]),
    },
  },
  {
    row: 'bytes behind the end of the response',
    required: delivered(),
    messages: {
      'a longer body': answered(ok([LENGTH], 'ok and more'), received),
      'a second response': answered(FRAMED + FRAMED, received),
      'behind the last chunk': answered(ok([CHUNKED], '2\r\nok\r\n0\r\n\r\nmore'), received),
      'CRLF behind the body': answered(ok([LENGTH], 'ok\r\n'), received),
      'a body to HEAD': answered(ok([LENGTH]), { method: 'HEAD' }),
      'two requests': {
        send: (to) => [request(to), /ok/, request(to)],
        reply: () => [ok([LENGTH], 'ok and more')],
        requests: 2,
        ...received,
      },
    },
  },
  {
    row: 'a response to an upgrade that is not 101',
    required: delivered(401),
    messages: each(
      {
        'with a length': ok(['WWW-Authenticate: Basic', LENGTH], 'ok', '401 Unauthorized'),
        'with chunks': ok([CHUNKED], '2\r\nok\r\n0\r\n\r\n', '401 Unauthorized'),
      },
      (bytes) => answered(bytes, { lines: WEBSOCKET, ...received }),
    ),
  },
  {
    row: 'a 426 keeps its Upgrade',
    required: delivered(426),
    messages: {
      'to a handshake': answered(
        ok(['Upgrade: websocket', 'Connection: Upgrade', LENGTH], 'ok', '426 Upgrade Required'),
        { lines: WEBSOCKET, ...received, fields: () => [/\r\nupgrade: websocket\r\n/i] },
      ),
      'to a GET': answered(
        ok(['Upgrade: websocket', 'Connection: Upgrade', LENGTH], 'ok', '426 Upgrade Required'),
        { ...received, fields: () => [/\r\nupgrade: websocket\r\n/i] },
      ),
    },
  },
  {
    row: '101 to a request that asked for none',
    required: refused(502),
    exception: {
      section: 'RFC 9110 15.2.2',
      reason: 'A server must not change to a protocol that the client did not offer.',
    },
    messages: {
      'to a GET': answered(early('101 Switching Protocols', ['Upgrade: x', 'Connection: upgrade'])),
      'to an h2c offer': answered(
        early('101 Switching Protocols', ['Upgrade: h2c', 'Connection: upgrade']),
        {
          lines: [
            'Connection: Upgrade, HTTP2-Settings',
            'Upgrade: h2c',
            'HTTP2-Settings: AAMAAABk',
          ],
        },
      ),
    },
  },
  {
    row: 'informational responses',
    required: delivered(),
    messages: {
      'one 103': answered(
        early('103 Early Hints', ['Link: </a.css>; rel=preload']) + FRAMED,
        received,
      ),
      'one 102': answered(early('102 Processing') + FRAMED, received),
      'one 100 that nobody expected': answered(early('100 Continue') + FRAMED, received),
      'an unknown one': answered(early('199 Own') + FRAMED, received),
      '15 over three seconds': answered(
        [
          ...Array.from({ length: 15 }, () => [early('102 Processing'), 200] as const).flat(),
          FRAMED,
        ],
        received,
      ),
      'five at once': answered(early().repeat(5) + FRAMED, received),
      'in pieces': answered(
        ['HTTP/1.1 103 Ea', 10, 'rly Hints\r\n', 10, `\r\n${FRAMED}`],
        received,
      ),
      'without a reason': answered(`HTTP/1.1 103\r\n\r\n${FRAMED}`, received),
      'before a response to an upload': {
        send: (to) => request(to, { method: 'POST', lines: ['Content-Length: 3'], body: 'abc' }),
        reply: () => [early('102 Processing'), 20, FRAMED],
        ...received,
      },
    },
  },
  {
    row: 'an early final response while the request is still being uploaded',
    required: delivered(413),
    messages: {
      'then it reads on': uploading([], `Content-Length: ${WHOLE}`),
      'then it ends': uploading([END], `Content-Length: ${WHOLE}`),
      'then it resets': uploading([30, RESET], `Content-Length: ${WHOLE}`),
      'chunks; then it ends': uploading([END], CHUNKED),
      'chunks; then it resets': uploading([30, RESET], CHUNKED),
    },
  },
  {
    row: 'a reused connection that is reset before any byte of the response',
    required: delivered(),
    messages: each({ GET: 'GET', PUT: 'PUT', DELETE: 'DELETE', OPTIONS: 'OPTIONS' }, (method) => ({
      send: (to) => [request(to), /ok/, request(to, { method })],
      reply: ({ nth }) => (nth === 1 ? [FRAMED] : [RESET]),
      requests: 2,
      ...received,
    })),
  },
  {
    row: 'silence',
    required: aborted(504),
    messages: { 'no response': answered([]), 'half a status line': answered(['HTTP/1.1 2']) },
  },
  {
    row: 'Location, Content-Location, Refresh and Link that name the instance',
    required: delivered(302),
    messages: {
      'a path': location('Location: /x', (prefix) => found('Location', `${prefix}/x`)),
      relative: location('Location: x', () => found('Location', 'x')),
      dots: location('Location: ../x', () => found('Location', '../x')),
      'a query': location('Location: ?a', () => found('Location', '?a')),
      'another site': location('Location: https://a.test/x', () =>
        found('Location', 'https://a.test/x'),
      ),
      'another site without a scheme': location('Location: //a.test/x', () =>
        found('Location', '//a.test/x'),
      ),
      'the address of the container': location(
        'Location: http://127.0.1.1:PORT/x',
        (prefix) => new RegExp(`\\r\\nlocation: (?:http://[^/]+)?${prefix}/x\\r\\n`, 'i'),
      ),
      'the name of the visitor': location(
        (host) => `Location: http://${host}/x`,
        (prefix) => new RegExp(`\\r\\nlocation: (?:http://[^/]+)?${prefix}/x\\r\\n`, 'i'),
      ),
      Refresh: location('Refresh: 0; url=/x', (prefix) => found('Refresh', `0; url=${prefix}/x`)),
      'Content-Location': location('Content-Location: /x', (prefix) =>
        found('Content-Location', `${prefix}/x`),
      ),
      Link: location('Link: </a.css>; rel=preload', (prefix) =>
        found('Link', `<${prefix}/a.css>; rel=preload`),
      ),
    },
  },
  {
    row: 'Set-Cookie and Service-Worker-Allowed in the path form',
    required: delivered(),
    messages: {
      'Path=/': {
        ...answered(ok(['Set-Cookie: a=1; Path=/; HttpOnly', LENGTH]), received),
        forms: ['path'],
        fields: (to) => [new RegExp(`Set-Cookie: a=1; Path=${to.at('')}/; HttpOnly`, 'i')],
      },
      Domain: {
        ...answered(ok(['Set-Cookie: a=1; Domain=a.example', LENGTH]), received),
        forms: ['path'],
        missing: /domain/i,
      },
      'Service-Worker-Allowed': {
        ...answered(ok(['Service-Worker-Allowed: /', LENGTH]), received),
        forms: ['path'],
        missing: /service-worker-allowed/i,
      },
    },
  },
  {
    row: 'responses as servers send them',
    required: delivered(),
    messages: {
      'a length': answered(FRAMED, received),
      chunks: answered(ok([CHUNKED], '2\r\nok\r\n0\r\n\r\n'), received),
      'chunks with an extension': answered(ok([CHUNKED], '2;a=b\r\nok\r\n0;c\r\n\r\n'), received),
      'chunks with leading zeros': answered(ok([CHUNKED], '0002\r\nok\r\n000\r\n\r\n'), received),
      'chunks with trailers': answered(
        ok([CHUNKED, 'Trailer: X-Sum'], '2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n'),
        received,
      ),
      'chunks with trailers that were not announced': answered(
        ok([CHUNKED], '2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n'),
        received,
      ),
      'chunks in small pieces': answered(
        inPieces(ok([CHUNKED], '2\r\nok\r\n0\r\n\r\n'), 3, 2),
        received,
      ),
      'a coding in capitals': answered(
        ok(['TRANSFER-ENCODING: Chunked'], '2\r\nok\r\n0\r\n\r\n'),
        received,
      ),
      'until the end': answered([ok(['Connection: close']), 20, END], received),
      'until the end, without a field': answered([ok([]), 20, END], received),
      'HTTP/1.0': answered([ok([]).replace('HTTP/1.1', 'HTTP/1.0'), 20, END], received),
      'HTTP/1.0 with a length': answered(
        [FRAMED.replace('HTTP/1.1', 'HTTP/1.0'), 20, END],
        received,
      ),
      'HTTP/1.0 with keep-alive': answered(
        ok([LENGTH, 'Connection: keep-alive']).replace('HTTP/1.1', 'HTTP/1.0'),
        received,
      ),
      'Keep-Alive': answered(ok([LENGTH, 'Keep-Alive: timeout=5'], 'ok'), received),
      'no reason': answered(FRAMED.replace('200 OK', '200 '), received),
      'no reason and no space': answered(FRAMED.replace('200 OK', '200'), received),
      'a reason in UTF-8': answered(FRAMED.replace('200 OK', '200 \xc3\xa9t\xc3\xa9'), received),
      'a field in UTF-8': answered(ok(['X: \xc3\xa9', LENGTH]), {
        ...received,
        fields: () => [/X: \xc3\xa9\r\n/],
      }),
      'an empty value': answered(ok(['X:', LENGTH]), received),
      'no space behind a colon': answered(ok(['X:1', 'Content-Length:2']), received),
      'an underscore in a name': answered(ok(['X_Own: 1', LENGTH]), received),
      '60 lines': answered(ok([...Array<string>(60).fill('X: 1'), LENGTH]), received),
      'several cookies': answered(ok(['Set-Cookie: a=1', 'Set-Cookie: b=2', LENGTH]), {
        ...received,
        fields: () => [/a=1/, /b=2/],
      }),
      'the same length twice': answered(ok([LENGTH, LENGTH]), received),
      'an Upgrade field on 200': answered(
        ok(['Upgrade: h2,h2c', 'Connection: Upgrade', LENGTH]),
        received,
      ),
      'Content-Encoding': answered(ok(['Content-Encoding: gzip', LENGTH]), received),
      'HEAD with a length': answered(ok(['Content-Length: 5000'], ''), { method: 'HEAD' }),
      'HEAD with chunks': answered(ok([CHUNKED], ''), { method: 'HEAD' }),
      'the head and the body apart': answered([ok([LENGTH], ''), 50, 'o', 50, 'k'], received),
      events: answered(
        [ok([CHUNKED, 'Content-Type: text/event-stream'], ''), 20, '2\r\nok\r\n', 20, '0\r\n\r\n'],
        received,
      ),
      'a response before the body was read': {
        send: (to) => request(to, { method: 'POST', lines: ['Content-Length: 3'], body: 'abc' }),
        isEarly: true,
        reply: () => [FRAMED],
        ...received,
      },
    },
  },
  {
    row: 'unusual statuses',
    required: delivered(599),
    messages: { '599': answered(ok([LENGTH], 'ok', '599 Own'), received) },
  },
  {
    row: '304 with a length',
    required: delivered(304),
    messages: {
      plain: answered(ok(['ETag: "a"'], '', '304 Not Modified')),
      'the length of the body': answered(ok(['Content-Length: 6'], '', '304 Not Modified')),
    },
  },
];
