import { expect, onTestFinished, test } from 'vitest';
import { open, send } from './raw.ts';
import { type FixtureOptions, startFixture } from './fixture.ts';
import { answering, OK, startUpstream } from './upstream.ts';

// If a replica closes an idle connection just as a load balancer reuses it, the request fails. So
// the replica keeps connections longer than load balancers, and announces for how long.

/** The usual idle timeout of load balancers, seconds. */
const BALANCER = 60;

async function served(options: FixtureOptions = {}) {
  const fixture = await startFixture(options);
  onTestFinished(() => fixture.stop());
  const upstream = await startUpstream(answering(OK));
  onTestFinished(() => upstream.stop());
  const id = await fixture.ready(upstream.port);
  return { port: fixture.port, get: `GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n\r\n` };
}

/** The keep-alive timeout that a response announces, seconds. */
const announcedBy = (answer: string) => Number(/^keep-alive: timeout=(\d+)\r$/im.exec(answer)?.[1]);

test('an idle connection is kept for longer than balancers keep theirs', async () => {
  const { port, get } = await served();
  // deploy/haproxy.cfg relies on this value.
  expect(announcedBy(await send(port, get))).toBe(75);
  expect(75).toBeGreaterThan(BALANCER);
});

test('an idle connection is kept for at least the announced time', async () => {
  const { port, get } = await served({ server: { keepAliveTimeout: 1_000 } });
  const raw = open(port);
  raw.send(get);
  await raw.until(/ok$/);
  const answered = performance.now();
  expect(announcedBy(raw.received)).toBe(1);
  await raw.untilClosed();
  expect(performance.now() - answered).toBeGreaterThanOrEqual(1_000);
  expect(raw.error).toBeUndefined();
});
