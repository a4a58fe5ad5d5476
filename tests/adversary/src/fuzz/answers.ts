/** Responses of containers, as bytes in latin1. `mark` identifies the case. */
export type AnswerBytes = (mark: string) => string;

const answer = (status: string, lines: string, body: string) => (mark: string) =>
  `HTTP/1.1 ${status}\r\nX-Mark: ${mark}\r\n${lines}\r\n${body}`;
const framed = (mark: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${mark.length}\r\n\r\n${mark}`;

/** Responses that are forwarded, changed or refused: the seeds of the fuzzer. */
export const ANSWERS: readonly AnswerBytes[] = [
  framed,
  answer('200 OK', 'Content-Length: 2\r\n', 'ok'),
  answer('200 OK', 'Transfer-Encoding: chunked\r\n', '2\r\nok\r\n0\r\n\r\n'),
  answer('200 OK', 'Transfer-Encoding: chunked\r\nTrailer: X\r\n', '2\r\nok\r\n0\r\nX: 1\r\n\r\n'),
  answer('200 OK', 'Connection: close\r\n', 'until the close'),
  answer('204 No Content', '', ''),
  answer('304 Not Modified', 'Content-Length: 6\r\n', ''),
  answer('000 Zero', 'Content-Length: 2\r\n', 'ok'),
  answer('099 Low', 'Content-Length: 2\r\n', 'ok'),
  answer('1000 High', 'Content-Length: 2\r\n', 'ok'),
  answer('200 O\x01K', 'Content-Length: 2\r\n', 'ok'),
  answer('200 OK', 'Trailer: X\r\nContent-Length: 2\r\n', 'ok'),
  answer('200 OK', 'X: a\x01b\r\nContent-Length: 2\r\n', 'ok'),
  answer('200 OK', 'Content-Length: 2\r\nContent-Length: 3\r\n', 'ok'),
  answer('200 OK', 'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  answer('200 OK', 'Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'),
  answer('200 OK', 'Content-Length: 10\r\n', 'short'),
  answer('200 OK', 'Content-Length: 2\r\n', 'ok and more'),
  answer('101 Switching Protocols', 'Upgrade: x\r\nConnection: upgrade\r\n', 'raw'),
  answer(
    '200 OK',
    'Location: http://127.0.1.1/\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n',
    '',
  ),
  (mark) => framed(mark) + framed(mark),
  (mark) => `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${framed(mark)}`,
  (mark) => `${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(40)}${framed(mark)}`,
  (mark) => `HTTP/1.1 100 Continue\r\n\r\n${framed(mark)}`,
  (mark) => `HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n${framed(mark)}`,
  (mark) => `HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n${framed(mark)}`,
  (mark) => `HTTP/1.0 200 OK\r\nContent-Length: ${mark.length}\r\n\r\n${mark}`,
  (mark) => `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(40_000)}\r\n\r\n${mark}`,
  (mark) => `HTTP/1.1 200 OK\nContent-Length: ${mark.length}\n\n${mark}`,
  () => 'SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n',
];
