import { once } from 'node:events';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { handshake } from './handshake.ts';
import { open, send, statusOf } from './raw.ts';
import { newId, type Fixture, startFixture } from './fixture.ts';

// A client may disconnect before its bytes are read. The first write then fails while the rest is
// still being parsed. This must end the connection, and never the process.

let fixture: Fixture;
beforeAll(async () => {
  fixture = await startFixture();
});
afterAll(() => fixture.stop());

const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const FIRST = {
  'an expectation': 'GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n',
  'no Host': 'GET / HTTP/1.1\r\n\r\n',
  'an unknown path': 'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
};
const BEHIND = {
  'a handshake': handshake(newId()),
  'a handshake without its body': handshake(newId(), '', 'Content-Length: 5\r\n'),
  'a handshake with a chunk': handshake(newId(), '', `${CHUNKED}\r\n1\r\na\r\n`),
  CONNECT: 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
  'an invalid request': '\0\r\n\r\n',
  nothing: '',
};

test.each(
  Object.keys(FIRST).flatMap((first) => Object.keys(BEHIND).map((behind) => [behind, first])),
)('%s behind %s, from a client that is gone', async (behind, first) => {
  const uncaught: unknown[] = [];
  const note = (error: unknown) => void uncaught.push(error);
  process.on('uncaughtException', note);
  onTestFinished(() => void process.off('uncaughtException', note));
  const bytes = FIRST[first as keyof typeof FIRST] + BEHIND[behind as keyof typeof BEHIND];
  for (let i = 0; i < 5; i++) {
    const accepted = once(fixture.server, 'connection');
    const client = open(fixture.port);
    await accepted;
    // Sent in one event-loop tick, so that the server reads both parts together.
    client.send(bytes);
    client.socket.resetAndDestroy();
    await client.untilClosed();
  }
  // By then the server has read all of them.
  expect(statusOf(await send(fixture.port, FIRST['an unknown path']))).toBe(404);
  expect(uncaught).toEqual([]);
});
