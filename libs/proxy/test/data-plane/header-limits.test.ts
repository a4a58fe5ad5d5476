import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { handshake, SWITCH } from './handshake.ts';
import { open, send, statusOf } from './raw.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// The limits of heads are settings. Both forms of requests and responses follow them.

const KIB = 1024;
let fixture: Fixture;
let upstream: Upstream;

beforeAll(async () => {
  fixture = await startFixture({
    maxRequestFields: 20,
    maxResponseHead: 100 * KIB,
    server: { maxRequestHead: 64 * KIB },
  });
});
afterAll(() => fixture.stop());
afterEach(() => upstream.stop());

async function behind(answer: string): Promise<string> {
  upstream = await startUpstream(answering(answer));
  return fixture.ready(upstream.port);
}
const field = (size: number) => `X-Large: ${'a'.repeat(size)}\r\n`;
const get = (id: string, lines: string) =>
  `GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`;

describe('requests', () => {
  test('bytes', async () => {
    const id = await behind(OK);
    expect(statusOf(await send(fixture.port, get(id, field(63 * KIB))))).toBe(200);
    expect(upstream.received).toContain(field(63 * KIB));
    expect(statusOf(await send(fixture.port, get(id, field(65 * KIB))))).toBe(431);
    expect(statusOf(await send(fixture.port, handshake(id, '', field(65 * KIB))))).toBe(431);
    expect(upstream.requests).toHaveLength(1);
  });

  test('fields', async () => {
    const id = await behind(OK);
    expect(statusOf(await send(fixture.port, get(id, 'a: b\r\n'.repeat(19))))).toBe(200);
    expect(statusOf(await send(fixture.port, get(id, 'a: b\r\n'.repeat(20))))).toBe(431);
    expect(statusOf(await send(fixture.port, handshake(id, '', 'a: b\r\n'.repeat(20))))).toBe(431);
    expect(upstream.requests).toHaveLength(1);
  });
});

describe('responses', () => {
  const withField = (answer: string, lines: string) => answer.replace('\r\n', `\r\n${lines}`);

  test.each([
    ['one field of 99 KiB', field(99 * KIB - 200), 200],
    ['one field of 101 KiB', field(101 * KIB), 502],
    ['3,000 fields', 'X-Small: 1\r\n'.repeat(3_000), 200],
  ])('%s', async (_name, lines, status) => {
    const id = await behind(withField(OK, lines));
    const answer = await send(fixture.port, get(id, ''));
    expect(statusOf(answer)).toBe(status);
    if (status === 200) expect(answer).toContain(lines);
  });

  test.each([
    ['one field of 99 KiB', field(99 * KIB - 200), 101],
    ['one field of 101 KiB', field(101 * KIB), 502],
    ['3,000 fields', 'X-Small: 1\r\n'.repeat(3_000), 101],
  ])('%s, to a handshake', async (_name, lines, status) => {
    const id = await behind(withField(SWITCH, lines));
    const raw = open(fixture.port);
    raw.send(handshake(id));
    const answer = await raw.until(/\r\n\r\n/);
    raw.socket.destroy();
    expect(statusOf(answer)).toBe(status);
    if (status === 101)
      expect(answer.match(/X-Small: 1/g) ?? [lines]).toHaveLength(
        lines.startsWith('X-Small') ? 3_000 : 1,
      );
  });

  test('the default is 64 KiB', async () => {
    const defaults = await startFixture();
    for (const [size, status] of [
      [63 * KIB, 200],
      [65 * KIB, 502],
    ] as const) {
      upstream = await startUpstream(answering(withField(OK, field(size))));
      const id = await defaults.ready(upstream.port);
      expect(statusOf(await send(defaults.port, get(id, '')))).toBe(status);
      await upstream.stop();
    }
    await defaults.stop();
  });
});
