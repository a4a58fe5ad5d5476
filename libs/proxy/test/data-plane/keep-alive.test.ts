import { expect, onTestFinished, test } from 'vitest';
import { open, send } from './raw.ts';
import { type RigOptions, startFixture } from './fixture.ts';
import { answering, OK, startUpstream } from './upstream.ts';

// A balancer that uses an idle connection just as the replica closes it has a request that fails:
// the replica has to be the more patient one, and to say how patient it is.

/** What a balancer usually keeps idle connections for, seconds. */
const BALANCER = 60;

async function served(options: RigOptions = {}) {
  const fixture = await startFixture(options);
  onTestFinished(() => fixture.stop());
  const upstream = await startUpstream(answering(OK));
  onTestFinished(() => upstream.stop());
  const id = await fixture.ready(upstream.port);
  return { port: fixture.port, get: `GET /demo/${id}/ HTTP/1.1\r\nHost: a.example\r\n\r\n` };
}

/** How long an answer says that its connection is kept, seconds. */
const promisedBy = (answer: string) => Number(/^keep-alive: timeout=(\d+)\r$/im.exec(answer)?.[1]);

test('an idle connection is kept for longer than balancers keep theirs', async () => {
  const { port, get } = await served();
  // The figure that deploy/haproxy.cfg goes by.
  expect(promisedBy(await send(port, get))).toBe(75);
  expect(75).toBeGreaterThan(BALANCER);
});

test('and for no less than what is said', async () => {
  const { port, get } = await served({ server: { keepAliveTimeout: 1_000 } });
  const raw = open(port);
  raw.send(get);
  await raw.until(/ok$/);
  const answered = performance.now();
  expect(promisedBy(raw.received)).toBe(1);
  await raw.untilClosed();
  expect(performance.now() - answered).toBeGreaterThanOrEqual(1_000);
  expect(raw.error).toBeUndefined();
});
