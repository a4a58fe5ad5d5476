import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { REFUSALS } from '../../src/data-plane/early-response.ts';
import { RefusalLog } from '../../src/data-plane/refusal-log.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { send } from './raw.ts';

// An operator finds out why a client is refused: by the checks of the proxy, and by its parser.

let fixture: Fixture;
beforeAll(async () => {
  fixture = await startFixture();
});
afterAll(() => fixture.stop());
beforeEach(() => {
  fixture.refusals.length = 0;
});

const get = (lines: string) => `GET /demo/x HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;

test.each<[string, number, object]>([
  [get('Content-Length: x\r\n'), 400, { parser: { code: 'HPE_INVALID_CONTENT_LENGTH' } }],
  [get('X : y\r\n'), 400, { parser: { code: 'HPE_INVALID_HEADER_TOKEN' } }],
  ['FOO / HTTP/1.1\r\nHost: a\r\n\r\n', 501, { parser: { code: 'HPE_INVALID_METHOD' } }],
  [get('Host: b\r\n'), 400, { detail: REFUSALS.host.detail, method: 'GET' }],
  ['TRACE / HTTP/1.1\r\nHost: a\r\n\r\n', 405, { method: 'TRACE' }],
  ['CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', 405, { method: 'CONNECT' }],
])('%j is logged with its status and its cause', async (request, status, facts) => {
  await send(fixture.port, request);
  expect(fixture.refusals).toMatchObject([
    [{ status, address: '127.0.0.1', ...facts }, 'request refused'],
  ]);
});

test('a flood is a bounded number of lines, and what was left out is counted', () => {
  const lines: { leftOut?: number }[] = [];
  let now = 0;
  const log = new RefusalLog(
    { info: (fields: object) => void lines.push(fields) } as never,
    () => now,
  );
  for (let i = 0; i < 1_000; i++) log.add(REFUSALS.malformed, { address: 'a' });
  expect(lines).toHaveLength(20);
  now = 10_000;
  log.add(REFUSALS.malformed, { address: 'a' });
  expect(lines).toHaveLength(21);
  expect(lines.at(-1)).toMatchObject({ leftOut: 980 });
  log.add(REFUSALS.malformed, { address: 'a' });
  expect(lines.at(-1)).not.toHaveProperty('leftOut');
});
