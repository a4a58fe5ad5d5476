import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { TEMPLATES } from './templates.ts';

// Redis loses all of its data while a visitor uses an instance.

const UNKNOWN = 'a'.repeat(26);
let site: Deployment;

beforeAll(async () => {
  site = await deploy({ proxies: 2, templates: TEMPLATES });
});
afterAll(() => site.stop());

const get = (id: string, replica: number) =>
  fetch(`${site.publicUrls[replica]}/demo/${id}/id`, { headers: { accept: 'application/json' } });

test('before a loss, an unknown id answers 404', async () => {
  for (const replica of [0, 1]) expect((await get(UNKNOWN, replica)).status).toBe(404);
});

test('after a loss of all data, a living instance never answers 404 or 410, and then 200 again', async () => {
  const made = await site.api('POST', '/v1/instances', { timeout: 60 }, { prefer: 'wait=30' });
  const { id } = (await made.json()) as { id: string };
  for (const replica of [0, 1]) expect(await (await get(id, replica)).text()).toBe(id);

  const answers: { replica: number; status: number; retryAfter: string | null; type: string }[] =
    [];
  const state = { isStopped: false };
  const visits = [0, 0, 1, 1].map(async (replica) => {
    while (!state.isStopped) {
      const answer = await get(id, replica);
      const text = await answer.text();
      const { type = '' } = answer.ok ? {} : (JSON.parse(text) as { type?: string });
      const retryAfter = answer.headers.get('retry-after');
      answers.push({ replica, status: answer.status, retryAfter, type });
      await sleep(5);
    }
  });
  await waitFor('visits', () => answers.length > 50);
  const redis = new Redis(site.redis.url);
  await redis.flushall();
  redis.disconnect();
  const lostAt = Date.now();
  const before = answers.length;

  const during = await get(UNKNOWN, 1);
  expect([during.status, during.headers.get('retry-after')]).toEqual([503, '2']);
  expect(await during.json()).toMatchObject({ type: 'urn:ephemera:problem:rebuilding' });
  await waitFor('200 on both replicas', () =>
    [0, 1].every((replica) =>
      answers.slice(before).some((answer, _, all) => {
        const last = all.findLastIndex((other) => other.replica === replica);
        return answer.replica === replica && answer.status === 503 && all[last]?.status === 200;
      }),
    ),
  );
  // A replica that knew the instance and one that is asked for an unknown id agree.
  for (const replica of [0, 1]) {
    await waitFor('404', async () => (await get(UNKNOWN, replica)).status === 404, 30_000);
  }
  process.stdout.write(`unknown ids answer 404 again after ${Date.now() - lostAt} ms\n`);
  await sleep(1_000);
  state.isStopped = true;
  await Promise.all(visits);

  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 503]));
  const unavailable = answers.filter(({ status }) => status === 503);
  for (const { retryAfter, type } of unavailable) {
    expect(Number(retryAfter)).toBeGreaterThan(0);
    expect(type).toMatch(/^urn:ephemera:problem:(?:rebuilding|store_unavailable)$/);
  }
  expect(answers.slice(-20).every(({ status }) => status === 200)).toBe(true);
});
