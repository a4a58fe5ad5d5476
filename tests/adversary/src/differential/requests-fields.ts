/** What clients send: header fields, upgrades and expectations. Each row is one requirement. */
import {
  ABC,
  CHUNKED,
  delivered,
  each,
  get,
  literal,
  type Message,
  post,
  refused,
  request,
  type Row,
  sent,
  WEBSOCKET,
} from './message.ts';

const H2C = ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk'];

export const FIELDS_ROWS: readonly Row[] = [
  {
    row: 'Connection that names fields of the message',
    required: delivered(),
    messages: {
      'Transfer-Encoding and Cookie': post(
        ['Connection: close, Transfer-Encoding, Cookie', 'Cookie: a=b', CHUNKED],
        ABC,
        { body: 'abc', absent: /cookie/i },
      ),
      'X-Forwarded-For': get(['Connection: X-Forwarded-For', 'X-Forwarded-For: 6.6.6.6'], {
        arrives: [/\r\nx-forwarded-for: 127\.0\.0\.1\r\n/i],
        absent: /6\.6\.6\.6/,
      }),
      'Content-Length': post(['Connection: Content-Length', 'Content-Length: 3'], 'abc', {
        body: 'abc',
      }),
      Host: get(['Connection: Host'], { arrives: [/\r\nhost: /i] }),
      'a private field': get(['Connection: x-own', 'X-Own: 1'], { absent: /x-own/i }),
      'an empty list': get(['Connection: ,']),
      'in two lines': get(['Connection: x-a', 'Connection: x-b', 'X-A: 1', 'X-B: 1'], {
        absent: /x-[ab]: 1/i,
      }),
    },
  },
  {
    row: 'fields of one connection',
    required: delivered(),
    messages: each(
      {
        'Keep-Alive': 'Keep-Alive: timeout=5',
        'Proxy-Connection': 'Proxy-Connection: keep-alive',
        'Proxy-Authorization': 'Proxy-Authorization: Basic eA==',
        Proxy: 'Proxy: http://other.example',
        TE: 'TE: trailers',
        Trailer: 'Trailer: X-Sum',
        'HTTP2-Settings': 'HTTP2-Settings: AAMAAABk',
      },
      (line) =>
        get([line], { absent: new RegExp(`\\r\\n${line.slice(0, line.indexOf(':'))}:`, 'i') }),
    ),
  },
  {
    row: 'names with underscores that shadow real ones',
    required: delivered(),
    messages: each(
      {
        X_Forwarded_For: 'X_Forwarded_For: 6.6.6.6',
        Content_Length: 'Content_Length: 9',
        Transfer_Encoding: 'Transfer_Encoding: chunked',
        'X-Forwarded_For': 'X-Forwarded_For: 6.6.6.6',
        'x-real_ip': 'x-real_ip: 6.6.6.6',
      },
      (line) => get([line], { absent: new RegExp(line.slice(0, line.indexOf(':')), 'i') }),
    ),
  },
  {
    row: 'an offer to upgrade to something else than a WebSocket',
    required: delivered(),
    messages: {
      ...each(
        {
          'h2c as curl and Java send it': H2C,
          'h2c without Connection': ['Upgrade: h2c'],
          TLS: ['Connection: Upgrade', 'Upgrade: TLS/1.2'],
          unknown: ['Connection: Upgrade', 'Upgrade: foo/1'],
          'h2c and another': ['Connection: Upgrade', 'Upgrade: h2c, foo'],
          'h2c in capitals': ['connection: upgrade', 'upgrade: H2C'],
          'h2c and close': ['Connection: Upgrade, HTTP2-Settings, close', ...H2C.slice(1)],
          'two lines': ['Connection: Upgrade', 'Upgrade: h2c', 'Upgrade: foo'],
          empty: ['Connection: Upgrade', 'Upgrade:'],
          'Connection alone': ['Connection: Upgrade'],
          'websocket without a key': ['Upgrade: websocket'],
        },
        (offer) => get(offer, { absent: /\r\n(?:upgrade|http2-settings):/i }),
      ),
      'with a body': post([...H2C, 'Content-Length: 3'], 'abc', {
        body: 'abc',
        absent: /\r\nupgrade/i,
      }),
      'with chunks': post([...H2C, CHUNKED], ABC, { body: 'abc', absent: /\r\nupgrade/i }),
      'HEAD with an offer': sent(
        { method: 'HEAD', lines: H2C },
        { method: 'HEAD', absent: /\r\nupgrade/i },
      ),
      // Behind an ignored offer the connection closes. A client sends the second request again on a new
      // connection (RFC 9112 section 9.3.2).
      'a second request behind it': {
        send: (to) => request(to, { lines: H2C }) + request(to),
        absent: /\r\nupgrade/i,
      },
      'a POST with an offer, and a second request': {
        send: (to) =>
          request(to, { method: 'POST', lines: [...H2C, 'Content-Length: 3'], body: 'abc' }) +
          request(to),
        absent: /\r\nupgrade/i,
      },
      'Expect and an offer': {
        send: (to) => [
          request(to, {
            method: 'PUT',
            lines: [...H2C, 'Expect: 100-continue', 'Content-Length: 3'],
          }),
          /100 Continue/,
          'abc',
        ],
        body: 'abc',
        absent: /\r\nupgrade/i,
      },
      'HTTP/1.0 with an offer': sent({ version: '1.0', lines: H2C }, { absent: /\r\nupgrade/i }),
    },
  },
  {
    row: 'a WebSocket handshake',
    required: delivered(101),
    messages: {
      plain: get(WEBSOCKET),
      'with the length 0': get([...WEBSOCKET, 'Content-Length: 0'], {
        absent: /\r\ncontent-length/i,
      }),
      'with a query that has a backslash': sent({ path: '/ws?q=C:\\dir', lines: WEBSOCKET }),
      'with two slashes': sent({ path: '//ws', lines: WEBSOCKET }),
      'with Connection in a list': get(['Connection: keep-alive, Upgrade', ...WEBSOCKET.slice(1)]),
      'with capitals': get(['connection: UPGRADE', 'upgrade: WebSocket', ...WEBSOCKET.slice(2)]),
      'with protocols and extensions': get(
        [
          ...WEBSOCKET,
          'Sec-WebSocket-Protocol: v1.a, v2.b',
          'Sec-WebSocket-Protocol: v3.c',
          'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
        ],
        { arrives: [/v1\.a, v2\.b/, /v3\.c/, /permessage-deflate; client_max_window_bits/] },
      ),
      'with a frame behind it': {
        send: (to) => [request(to, { lines: WEBSOCKET }), 'early-frame', /early-frame/],
        fields: () => [/early-frame$/],
      },
    },
  },
  {
    row: 'a WebSocket handshake with a body',
    required: refused(400),
    exception: {
      section: 'RFC 6455 4.2.1',
      reason: 'One server reads the bytes behind the head as a body, another as frames.',
    },
    messages: {
      'a length': get([...WEBSOCKET, 'Content-Length: 5']),
      'a length and the body': sent({ lines: [...WEBSOCKET, 'Content-Length: 3'], body: 'abc' }),
      chunked: sent({ lines: [...WEBSOCKET, CHUNKED], body: ABC }),
    },
  },
  {
    row: 'a WebSocket handshake of another version',
    required: refused(426),
    exception: {
      section: 'RFC 6455 4.4',
      reason: 'The response names the version that is supported.',
    },
    messages: {
      'version 777': get([
        ...WEBSOCKET.slice(0, 2),
        'Sec-WebSocket-Version: 777',
        WEBSOCKET[3] ?? '',
      ]),
      'version 8': get([...WEBSOCKET.slice(0, 2), 'Sec-WebSocket-Version: 8', WEBSOCKET[3] ?? '']),
    },
  },
  {
    row: 'Expect: 100-continue',
    required: delivered(),
    messages: each(
      {
        'with a length': ['Content-Length: 3'],
        'with chunks': [CHUNKED],
        'and a short wait': ['Content-Length: 3', 'X: 1'],
      },
      (framing): Message => ({
        send: (to) => [
          request(to, { method: 'PUT', lines: ['Expect: 100-continue', ...framing] }),
          /^HTTP\/1\.1 100[^]*\r\n\r\n/,
          framing.includes(CHUNKED) ? ABC : 'abc',
        ],
        body: 'abc',
        fields: () => [/^HTTP\/1\.1 100 /],
      }),
    ),
  },
  {
    row: 'Expect: 100-continue without a wait, in capitals, on GET, on HTTP/1.0',
    required: delivered(),
    messages: {
      'the body at once': sent(
        { method: 'PUT', lines: ['Expect: 100-continue', 'Content-Length: 3'], body: 'abc' },
        { body: 'abc' },
      ),
      capitals: sent(
        { method: 'PUT', lines: ['Expect: 100-Continue', 'Content-Length: 3'], body: 'abc' },
        { body: 'abc' },
      ),
      'GET without a body': get(['Expect: 100-continue']),
      'HTTP/1.0': sent(
        {
          method: 'PUT',
          version: '1.0',
          lines: ['Expect: 100-continue', 'Content-Length: 3'],
          body: 'abc',
        },
        { body: 'abc' },
      ),
    },
  },
  {
    row: 'another expectation',
    required: refused(417),
    exception: {
      section: 'RFC 9110 10.1.1',
      reason: 'An expectation that is passed on unread would appear to be met.',
    },
    messages: {
      'on POST': post(['Expect: the-unexpected', 'Content-Length: 3'], 'abc'),
      'on GET': get(['Expect: x']),
    },
  },
  {
    row: 'fields about the client from an untrusted peer',
    required: delivered(),
    messages: each(
      {
        'X-Forwarded-For': 'X-Forwarded-For: 6.6.6.6',
        Forwarded: 'Forwarded: for=6.6.6.6',
        'X-Real-IP': 'X-Real-IP: 6.6.6.6',
        'X-Forwarded-Host': 'X-Forwarded-Host: 6.6.6.6',
        'X-Forwarded-User': 'X-Forwarded-User: 6.6.6.6',
        'X-Forwarded-Prefix': 'X-Forwarded-Prefix: /6.6.6.6',
        'X-Forwarded-Anything': 'X-Forwarded-Anything: 6.6.6.6',
      },
      (line) =>
        get([line], { arrives: [/\r\nx-forwarded-for: 127\.0\.0\.1\r\n/i], absent: /6\.6\.6\.6/ }),
    ),
  },
  {
    row: 'fields about the client from a trusted peer',
    required: delivered(),
    messages: {
      ...each(
        {
          'X-Forwarded-Port': 'X-Forwarded-Port: 443',
          'X-Forwarded-Uri': 'X-Forwarded-Uri: /x',
          'X-Forwarded-Proto': 'X-Forwarded-Proto: https',
          'X-Forwarded-Host': 'X-Forwarded-Host: a.test',
          'X-Forwarded-Ssl': 'X-Forwarded-Ssl: on',
          'X-Forwarded-Scheme': 'X-Forwarded-Scheme: https',
          'X-Forwarded-Anything': 'X-Forwarded-Anything: 1',
        },
        (line) =>
          get([line], {
            forms: ['trusted'],
            arrives: [new RegExp(`\\r\\n${literal(line)}\\r\\n`, 'i')],
          }),
      ),
      ...each(
        {
          'For an address': ['203.0.113.7', '203.0.113.7'],
          'For with a port': ['203.0.113.7:4001', '203.0.113.7'],
          'For with IPv6 and a port': ['"[2001:db8::1]:4001"', '2001:db8::1'],
          'For two addresses': ['198.51.100.2, 203.0.113.7', '198.51.100.2, 203.0.113.7'],
        },
        ([value = '', shown = '']) =>
          get([`X-Forwarded-For: ${value}`], {
            forms: ['trusted'],
            arrives: [new RegExp(`\\r\\nx-forwarded-for: [^\\r]*${literal(shown)}`, 'i')],
          }),
      ),
      Forwarded: get(['Forwarded: for=203.0.113.7'], {
        forms: ['trusted'],
        absent: /\r\nforwarded:/i,
      }),
    },
  },
  {
    row: 'identity fields from a trusted peer, where the template does not allow them',
    required: delivered(),
    messages: each(
      {
        'X-Forwarded-User': 'X-Forwarded-User: u1',
        'X-Forwarded-Email': 'X-Forwarded-Email: u1@a.test',
        'X-Forwarded-Groups': 'X-Forwarded-Groups: u1',
        'X-Forwarded-Access-Token': 'X-Forwarded-Access-Token: u1',
        'X-Auth-Request-User': 'X-Auth-Request-User: u1',
        'Remote-User': 'Remote-User: u1',
      },
      (line) => get([line], { forms: ['trusted'], absent: /: u1/ }),
    ),
  },
  {
    row: 'Destination that names the address of the visitor',
    required: delivered(),
    messages: {
      'a path': {
        send: (to) =>
          request(to, { method: 'MOVE', lines: [`Destination: ${to.at('/b')}`, 'Overwrite: F'] }),
        arrives: [/\r\ndestination: (?:https?:\/\/[^/]+)?\/b\r\n/i],
      },
      'an address': {
        send: (to) =>
          request(to, { method: 'COPY', lines: [`Destination: http://${to.host}${to.at('/b')}`] }),
        arrives: [/\r\ndestination: (?:https?:\/\/[^/]+)?\/b\r\n/i],
      },
    },
  },
  {
    row: 'fields that belong to the instance',
    required: delivered(),
    messages: {
      ...each(
        {
          'an empty value': 'X-A:',
          'a tab': 'X-A: a\tb',
          'UTF-8': 'X-A: \xc3\xa9',
          'Latin-1': 'X-A: \xe9',
          'odd punctuation in a name': "X!#$%&'*+.^`|~: 1",
          'one letter': 'a: b',
          'a colon and a comma': 'X-A: a:b, c:d',
          Range: 'Range: bytes=0-1',
          Authorization: 'Authorization: Bearer x',
          'a name of 200 letters': `${'a'.repeat(200)}: 1`,
          Via: 'Via: 1.1 other',
          Origin: 'Origin: null',
        },
        (line) =>
          get([line], {
            arrives: [new RegExp(`\\r\\n${literal(line.trimEnd())}[ ]?\\r\\n`)],
          }),
      ),
      'cookies in two lines': get(['Cookie: a=1', 'Cookie: b=2'], { arrives: [/a=1/, /b=2/] }),
      'the same name twice': get(['X-A: 1', 'X-A: 2'], { arrives: [/X-A: 1\r\nX-A: 2/] }),
    },
  },
];
