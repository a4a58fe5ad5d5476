import type { UpstreamError, UpstreamErrorReason } from './connection.ts';

/** Why an instance gave no usable response. For its owner and the operator, not for visitors. */
export interface UpstreamFailure {
  /** A label of the metric `ephemera_upstream_failures_total`. */
  readonly reason: UpstreamErrorReason;
  /** What the instance sent or did, what was expected, and what to do: plain text, one line. */
  readonly detail: string;
}

/** Explains an error upstream. The text quotes at most a short part of what the instance sent. */
export function explainFailure(error: UpstreamError): UpstreamFailure {
  const { reason } = error;
  const [happened, expected, action] = EXPLANATIONS[reason];
  const facts = [evidenceOf(error.cause), codeOf(error.cause)].filter((fact) => fact !== '');
  const found = facts.length === 0 ? '' : ` (${facts.join('; ')})`;
  return { reason, detail: `${happened}${found}. ${expected} ${action}` };
}

function evidenceOf(cause: unknown): string {
  if (!(cause instanceof Error) || !('evidence' in cause)) return '';
  return typeof cause.evidence === 'string' ? cause.evidence : '';
}

/** Codes of the system and of llhttp, such as ECONNREFUSED and HPE_INVALID_CONTENT_LENGTH. */
function codeOf(cause: unknown): string {
  if (!(cause instanceof Error) || !('code' in cause) || typeof cause.code !== 'string') return '';
  const said = 'reason' in cause && typeof cause.reason === 'string' ? `: ${cause.reason}` : '';
  return `${cause.code}${said}`;
}

type Explanation = readonly [happened: string, expected: string, action: string];

const READ_LOG = 'Read the log of the instance.';
const ONE_FRAMING = 'A response has either one Content-Length or chunks (RFC 9112 section 6).';
const USE_LIBRARY = 'Let the HTTP library of the application write the head of the response.';
const LET_LIBRARY_CHUNK = 'Let the HTTP library of the application write the chunks.';
const HTTP_PORT =
  'Set `port` of the template to the port on which the application speaks HTTP/1.1.';

const EXPLANATIONS: Readonly<Record<UpstreamErrorReason, Explanation>> = {
  not_http: [
    'The instance sent something that is not HTTP/1',
    'A response begins with HTTP/1.1 or HTTP/1.0.',
    `${HTTP_PORT} TLS, HTTP/2 and other protocols are not supported.`,
  ],
  bad_status_line: [
    'The status line of the response is invalid',
    'It has the form `HTTP/1.1 200 OK`, with a status from 100 to 999 and no control bytes (RFC 9112 section 4).',
    USE_LIBRARY,
  ],
  bad_header_field: [
    'A header field of the response is invalid',
    'A field is one line `Name: value`, with no space before the colon, no folding and no control bytes (RFC 9112 section 5).',
    'Remove or encode the invalid characters in the application.',
  ],
  bare_lf: [
    'A line of the response head ends in LF alone',
    'Lines end in CRLF (RFC 9112 section 2.2).',
    USE_LIBRARY,
  ],
  head_too_large: [
    'The head of the response exceeds the limit',
    'All header fields together fit into the limit of the proxy.',
    'Send fewer or shorter header fields; very large cookies are the usual cause.',
  ],
  trailers_too_large: [
    'The trailer section of the response exceeds the limit',
    'All trailer fields together fit into the limit of the proxy.',
    'Send fewer or shorter trailer fields.',
  ],
  bad_content_length: [
    'The Content-Length of the response is invalid',
    'It is one decimal number of at most 15 digits (RFC 9110 section 8.6).',
    'Send the number of bytes of the body, or no Content-Length.',
  ],
  duplicate_content_length: [
    'The response has two Content-Length fields',
    ONE_FRAMING,
    'Set Content-Length in one place of the application.',
  ],
  bad_transfer_encoding: [
    'The Transfer-Encoding of the response is not supported',
    'It is absent, or exactly `chunked`, once (RFC 9112 section 6.1).',
    'Send other codings in Content-Encoding.',
  ],
  transfer_encoding_in_http_1_0: [
    'The response is HTTP/1.0 and has Transfer-Encoding',
    'Chunks exist since HTTP/1.1 only (RFC 9112 section 6.1).',
    'Let the application respond with HTTP/1.1, or without chunks.',
  ],
  content_length_with_transfer_encoding: [
    'The response has both Content-Length and Transfer-Encoding',
    ONE_FRAMING,
    'Remove Content-Length where the application sends chunks; a compressing middleware is the usual cause.',
  ],
  tab_in_framing_field: [
    'Content-Length or Transfer-Encoding of the response contains a tab',
    'The value has no tabs, because parsers disagree about them.',
    USE_LIBRARY,
  ],
  unrequested_upgrade: [
    'The instance answered 101 Switching Protocols to a request without Upgrade',
    'A 101 answers only a WebSocket handshake (RFC 9110 section 15.2.2).',
    'Send a final response; check the WebSocket code of the application.',
  ],
  close_before_final_response: [
    'An informational response (1xx) has Connection: close',
    'The final response follows on the same connection.',
    'Send Connection: close with the final response only.',
  ],
  too_many_informational: [
    'The instance sent too many informational responses (1xx)',
    'At most 10 a second and 1 MiB of them may precede the final response.',
    'Send 1xx responses less often.',
  ],
  bad_chunk_size: [
    'A chunk size of the response is invalid',
    'It is at most 13 hex digits, followed by `;` or CRLF (RFC 9112 section 7.1).',
    LET_LIBRARY_CHUNK,
  ],
  bad_chunk_extension: [
    'A chunk extension of the response is invalid',
    'It has the form `;name=value` (RFC 9112 section 7.1.1).',
    LET_LIBRARY_CHUNK,
  ],
  chunk_extension_too_large: [
    'The extensions of a chunk exceed 1,024 bytes',
    'Chunk extensions are short, or absent.',
    LET_LIBRARY_CHUNK,
  ],
  bad_chunk_end: [
    'A chunk of the response does not end in CRLF at its size',
    'The size counts exactly the bytes of the chunk (RFC 9112 section 7.1).',
    `${LET_LIBRARY_CHUNK} A size in characters instead of bytes is the usual cause.`,
  ],
  framing_field_in_trailer: [
    'The trailer section has Content-Length or Transfer-Encoding',
    'Framing fields are in the head only (RFC 9110 section 6.5.1).',
    'Remove the field from the trailers.',
  ],
  invalid_response: [
    'The response to a WebSocket handshake is invalid',
    'It is a 101, or another well-formed HTTP/1.1 response.',
    READ_LOG,
  ],
  connect_failed: [
    'No connection to the instance could be opened',
    'The application listens on the port of the template, on all interfaces (0.0.0.0) and not on 127.0.0.1 alone.',
    `Check \`port\` of the template. ${READ_LOG}`,
  ],
  connect_timeout: [
    'The connection to the instance did not open in time',
    'The application accepts connections without delay.',
    'The application is overloaded, its accept queue is full, or its host is unreachable. Read its log and the state of its host.',
  ],
  data_before_request: [
    'The instance sent bytes before it received a request',
    'In HTTP the client speaks first.',
    HTTP_PORT,
  ],
  closed_before_request: [
    'The instance closed the connection as soon as it had opened',
    'The application accepts a request.',
    `${READ_LOG} A limit of connections in the application is the usual cause.`,
  ],
  connection_closed: [
    'The instance closed the connection without a response',
    'A response follows every request.',
    `${READ_LOG} The application may have crashed, or speak another protocol such as TLS on this port.`,
  ],
  closed_in_head: [
    'The instance closed the connection within the head of the response',
    'The head ends in an empty line.',
    READ_LOG,
  ],
  closed_in_body: [
    'The instance closed the connection before the end of the body',
    'The body has the announced length, or ends with the last chunk.',
    `${READ_LOG} The application may have crashed, or announced a wrong Content-Length.`,
  ],
  connection_error: [
    'The connection to the instance failed before the response was complete',
    'The application keeps the connection until its response is complete.',
    READ_LOG,
  ],
  response_timeout: [
    'The instance did not begin its response in time',
    'The head of the response arrives within `EPHEMERA_RESPONSE_TIMEOUT`.',
    'Make the application respond sooner, or raise `EPHEMERA_RESPONSE_TIMEOUT`.',
  ],
  handshake_rejected: [
    'The 101 response has a wrong Sec-WebSocket-Accept',
    'Its value is computed from Sec-WebSocket-Key (RFC 6455 section 4.2.2).',
    'Let a WebSocket library accept the handshake.',
  ],
  wrong_upgrade: [
    'The 101 response does not switch to WebSocket',
    'It has the field `Upgrade: websocket` (RFC 6455 section 4.2.2).',
    'Let a WebSocket library accept the handshake.',
  ],
  route_superseded: [
    'The route of the instance changed each time a connection opened',
    'A route stays the same while a connection opens.',
    'Try again. If it persists, read the log of the workers.',
  ],
  route_dropped: [
    'The connection ended with its generation of the instance',
    'The instance outlives its requests.',
    'Renew the instance in time, or start another one.',
  ],
  store_unavailable: [
    'Redis could not confirm the route',
    'Redis answers within its timeout.',
    'Check Redis.',
  ],
  host_unregistered: [
    'The host of the instance has not registered the address',
    'Every host registers its networks, or its address and published ports, when its worker starts.',
    'Check the worker of the host. If it persists, set `EPHEMERA_SUBNET`, or set `EPHEMERA_REACH` back.',
  ],
  internal: [
    'The proxy failed',
    'This is a bug in the proxy.',
    'Report it with the log line, which has the stack.',
  ],
};
