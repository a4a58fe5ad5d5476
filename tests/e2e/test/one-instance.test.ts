import { connectRedis, keysOf } from '@ephemera/store';
import { killQueue, SPAWN_QUEUE } from '@ephemera/queue';
import { waitFor } from '@ephemera/test-support';
import { Queue } from 'bullmq';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { containersOf, docker } from './docker-cli.ts';
import { TEMPLATES } from './templates.ts';

// A visitor asks for an instance, uses it, and it is gone when its time is up.

let site: Deployment;
let base: string;

beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES });
  base = site.publicUrls[0] ?? '';
});
afterAll(() => site.stop());

test('GET /demo/new answers 307 to an instance of its own, whose page is proxied', async () => {
  const first = await fetch(`${base}/demo/new`, { redirect: 'manual' });
  expect(first.status).toBe(307);
  const location = first.headers.get('location') ?? '';
  expect(location).toMatch(/^\/demo\/[a-z][a-z0-9]{25}\/$/);
  const id = location.split('/')[2] ?? '';

  const page = await fetch(`${base}${location}`);
  expect(page.status).toBe(200);
  expect(await page.text()).toContain(id);
  expect(await (await fetch(`${base}${location}id`)).text()).toBe(id);

  const names = await docker(
    'ps',
    '--filter',
    `label=ephemera.instance=${id}`,
    '--format',
    '{{.Names}}',
  );
  expect(names).toHaveLength(1);
  // The name is known to every container of the network, and the id is the key to the instance.
  expect(names[0]).toMatch(new RegExp(`^${site.namespace}-[0-9a-f]{24}-\\d+$`));
});

test('?redirect=0 answers the bare id as text', async () => {
  const answer = await fetch(`${base}/demo/new?redirect=0`);
  expect(answer.headers.get('content-type')).toContain('text/plain');
  expect(await answer.text()).toMatch(/^[a-z][a-z0-9]{25}$/);
});

test('at its TTL the id answers 410 with the reason, and its container is gone', async () => {
  const id = await (await fetch(`${base}/demo/new?template=brief&redirect=0`)).text();
  expect(await (await fetch(`${base}/demo/${id}/id`)).text()).toBe(id);

  const dead = await waitFor('410', async () => {
    const answer = await fetch(`${base}/demo/${id}/id`, {
      headers: { accept: 'application/json' },
    });
    return answer.status === 410 && answer;
  });
  expect(await dead.json()).toMatchObject({ status: 410, reason: 'ttl' });
  await waitFor('its removal', async () => {
    const label = `label=ephemera.instance=${id}`;
    return (await docker('ps', '-a', '--filter', label, '--format', '{{.Names}}')).length === 0;
  });
  // The tombstone says the same on the control API.
  const left = (await (await site.api('GET', `/v1/instances/${id}`)).json()) as object;
  expect(left).toMatchObject({ id, status: { state: 'gone', reason: 'ttl' } });
});

test('the kill job waits in the queue with the id and due time, and is completed after it', async () => {
  const redis = connectRedis(site.redis.url, 'job', () => undefined);
  const prefix = keysOf(site.namespace).queuePrefix;
  const host = (await redis.zrange(keysOf(site.namespace).hosts, '0', '-1'))[0] ?? '';
  const kills = new Queue(killQueue(host), { connection: redis, prefix });
  try {
    const created = await site.api(
      'POST',
      '/v1/instances',
      { template: 'brief', timeout: 2 },
      { prefer: 'wait=20' },
    );
    expect(created.status).toBe(201);
    const { id, expiresAt } = (await created.json()) as { id: string; expiresAt: string };

    const delayed = await kills.getDelayed();
    const job = delayed.find(({ data }) => (data as { id: string }).id === id);
    expect(job).toBeDefined();
    // It fires at the earliest deadline possible, and delays itself to the true one.
    expect(Date.parse((job?.data as { dueAt: string }).dueAt)).toBeLessThanOrEqual(
      Date.parse(expiresAt),
    );

    await waitFor('the completed kill', async () => {
      const done = await kills.getCompleted();
      return done.find(({ data }) => (data as { id: string }).id === id)?.returnvalue as unknown;
    });
    expect(SPAWN_QUEUE).toBe('instance-spawn');
  } finally {
    await kills.close();
    await redis.quit();
  }
});

test('DELETE /v1/instances ends them all', async () => {
  await site.api('POST', '/v1/instances', undefined, { prefer: 'wait=20' });
  const all = await site.api('DELETE', '/v1/instances');
  expect(all.status).toBe(202);
  expect(((await all.json()) as { ended: number }).ended).toBeGreaterThan(0);
  await waitFor('an empty daemon', async () => (await containersOf(site.namespace)).length === 0);
  const { items } = (await (await site.api('GET', '/v1/instances')).json()) as { items: unknown[] };
  expect(items).toEqual([]);
});
