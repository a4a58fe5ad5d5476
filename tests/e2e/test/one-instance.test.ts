import { connectRedis, keysOf } from '@ephemera/store';
import { killQueue, SPAWN_QUEUE } from '@ephemera/queue';
import { waitFor } from '@ephemera/test-support';
import { Queue } from 'bullmq';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { containersOf, docker } from './docker-cli.ts';
import { TEMPLATES } from './templates.ts';

// A visitor creates an instance, uses it, and it ends at its deadline.

let site: Deployment;
let base: string;

beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES });
  base = site.publicUrls[0] ?? '';
});
afterAll(() => site.stop());

test('GET /demo/new redirects with 307 to a new instance whose page is proxied', async () => {
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
  // The other containers of the network can see the name. It must not contain the id, which grants
  // access.
  expect(names[0]).toMatch(new RegExp(`^${site.namespace}-[0-9a-f]{24}-\\d+$`));
});

test('?redirect=0 returns the id as text', async () => {
  const answer = await fetch(`${base}/demo/new?redirect=0`);
  expect(answer.headers.get('content-type')).toContain('text/plain');
  expect(await answer.text()).toMatch(/^[a-z][a-z0-9]{25}$/);
});

test('after the deadline the URL returns 410 with the reason, and the container is removed', async () => {
  const id = await (await fetch(`${base}/demo/new?template=brief&redirect=0`)).text();
  expect(await (await fetch(`${base}/demo/${id}/id`)).text()).toBe(id);

  const dead = await waitFor('410', async () => {
    const answer = await fetch(`${base}/demo/${id}/id`, {
      headers: { accept: 'application/json' },
    });
    return answer.status === 410 && answer;
  });
  expect(await dead.json()).toMatchObject({ status: 410, reason: 'ttl' });
  await waitFor('the removal of the container', async () => {
    const label = `label=ephemera.instance=${id}`;
    return (await docker('ps', '-a', '--filter', label, '--format', '{{.Names}}')).length === 0;
  });
  // The control API returns the same reason from the tombstone, which the worker writes last.
  const read = async () =>
    (await (await site.api('GET', `/v1/instances/${id}`)).json()) as { status: { state: string } };
  const left = await waitFor('the tombstone', async () => {
    const instance = await read();
    return instance.status.state !== 'draining' && instance;
  });
  expect(left).toMatchObject({ id, status: { state: 'gone', reason: 'ttl' } });
});

test('the kill job is delayed with the id and due time, and completes after it', async () => {
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
    // The job becomes due at the earliest possible deadline, and then delays itself to the actual
    // one.
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

test('DELETE /v1/instances kills all instances', async () => {
  await site.api('POST', '/v1/instances', undefined, { prefer: 'wait=20' });
  const all = await site.api('DELETE', '/v1/instances');
  expect(all.status).toBe(202);
  expect(((await all.json()) as { ended: number }).ended).toBeGreaterThan(0);
  await waitFor(
    'the removal of all containers',
    async () => (await containersOf(site.namespace)).length === 0,
  );
  const { items } = (await (await site.api('GET', '/v1/instances')).json()) as { items: unknown[] };
  expect(items).toEqual([]);
});
