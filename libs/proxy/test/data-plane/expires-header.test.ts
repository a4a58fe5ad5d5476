import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fixture, startFixture } from './fixture.ts';
import { send } from './raw.ts';
import { answering, startUpstream, type Upstream } from './upstream.ts';

// The deadline on responses of an instance, where its template asks for it.

const ANSWER =
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nephemera-expires-at: never\r\nX-A: 1\r\n\r\nok';
const GET = 'HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const deadlines = (response: string) =>
  [...response.matchAll(/^ephemera-expires-at: (.*)\r$/gim)].map(([, value]) => value);

let upstream: Upstream;
let fixture: Fixture;
beforeAll(async () => {
  upstream = await startUpstream(answering(ANSWER));
  fixture = await startFixture();
});
afterAll(async () => {
  await upstream.stop();
  await fixture.stop();
});

test('is that of the route, and not what the instance says', async () => {
  const id = await fixture.ready(upstream.port, { expiresHeader: true });
  const response = await send(fixture.port, `GET /demo/${id}/ ${GET}`);
  const expected = (await fixture.routes.find(id))?.route;
  if (expected?.state !== 'ready') throw new Error('the route is not ready');
  expect(deadlines(response)).toEqual([new Date(expected.expiresAt).toISOString()]);
  expect(response).toContain('X-A: 1\r\n');
});

test('is absent by default, so that fields of the instance pass unchanged', async () => {
  const id = await fixture.ready(upstream.port);
  expect(deadlines(await send(fixture.port, `GET /demo/${id}/ ${GET}`))).toEqual(['never']);
});
