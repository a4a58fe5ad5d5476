import { startRedis, waitFor } from '@ephemera/test-support';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BEARER, HTML, openDashboard, signIn } from './fixture.ts';
import type { Fixture } from './fixture.ts';

let fixture: Fixture;
beforeEach(async () => {
  fixture = await openDashboard();
});
afterEach(() => fixture.stop());

const status = async (path: string, headers: Record<string, string> = BEARER) =>
  (await fetch(`${fixture.url}${path}`, { headers })).status;

test('while Redis is unavailable every page says so at once, and recovers when it is back', async () => {
  const cookie = await signIn(fixture.url);
  await fetch(`${fixture.url}/dashboard/queues/api/queues`, { headers: BEARER });
  await fixture.store.stop();
  await waitFor('the connection to notice', () => fixture.redis.status !== 'ready');

  const page = await fetch(`${fixture.url}/dashboard/instances`, { headers: { ...HTML, cookie } });
  expect(page.status).toBe(503);
  expect(page.headers.get('retry-after')).toBe('1');
  expect(await page.text()).toContain('Redis does not answer.');
  const problem = await fetch(`${fixture.url}/dashboard/queues/api/queues`, { headers: BEARER });
  expect(problem.status).toBe(503);
  expect(await problem.json()).toMatchObject({ status: 503, title: 'Unavailable' });
  expect(await status('/readyz')).toBe(503);
  expect(await status('/healthz')).toBe(200);
  expect(await status('/dashboard/login')).toBe(200);

  const back = await startRedis({ port: fixture.store.port });
  await waitFor('a ready dashboard', async () => (await status('/readyz')) === 200);
  expect(await status('/dashboard/instances')).toBe(200);
  expect(await status('/dashboard/queues/api/queues')).toBe(200);
  fixture = { ...fixture, store: back };
});

test('a Redis that hangs counts as unavailable', async () => {
  process.kill(fixture.store.pid, 'SIGSTOP');
  expect(await status('/dashboard/instances')).toBe(503);
  expect(await status('/dashboard/queues/api/queues')).toBe(503);
  process.kill(fixture.store.pid, 'SIGCONT');
  await waitFor('an answer', async () => (await status('/dashboard/instances')) === 200);
});
