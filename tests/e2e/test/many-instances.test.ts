import { connectRedis, keysOf } from '@ephemera/store';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { containersOf, docker } from './docker-cli.ts';
import { TEMPLATES } from './templates.ts';

// Twenty concurrent visitors, two replicas, and two workers on one Docker daemon.

let site: Deployment;

beforeAll(async () => {
  site = await deploy({
    templates: TEMPLATES,
    proxies: 2,
    workers: 2,
    env: { EPHEMERA_TOMBSTONE: '600' },
  });
});
afterAll(() => site.stop());

test('each gets a separate container that both replicas serve, and all end', async () => {
  // The first must live until the last has started, on a slow machine too.
  const timeout = 40;
  const created = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      site.api('POST', '/v1/instances', { timeout }, { prefer: 'wait=60' }, i % 2),
    ),
  );
  expect(created.map(({ status }) => status)).toEqual(Array(20).fill(201));
  const ids = await Promise.all(
    created.map(async (answer) => ((await answer.json()) as { id: string }).id),
  );
  expect(new Set(ids).size).toBe(20);

  // Each id reaches its own container through either replica.
  for (const base of site.publicUrls) {
    const answers = await Promise.all(
      ids.map(async (id) => (await fetch(`${base}/demo/${id}/id`)).text()),
    );
    expect(answers).toEqual(ids);
  }
  const running = await docker(
    'ps',
    '--filter',
    `label=ephemera.namespace=${site.namespace}`,
    '--format',
    '{{.Label "ephemera.instance"}}',
  );
  expect(running.sort()).toEqual([...ids].sort());
  const addresses = await docker(
    'inspect',
    '--format',
    '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}',
    ...(await containersOf(site.namespace)),
  );
  expect(new Set(addresses).size).toBe(20);
  await waitFor(
    'the removal of all containers',
    async () => (await containersOf(site.namespace)).length === 0,
    90_000,
  );
  for (const base of site.publicUrls) {
    const statuses = await Promise.all(
      ids.map(async (id) => (await fetch(`${base}/demo/${id}/id`)).status),
    );
    expect(statuses).toEqual(Array(20).fill(410));
  }

  // The remaining Redis keys of an instance expire.
  const redis = connectRedis(site.redis.url, 'job', () => undefined);
  const keys = keysOf(site.namespace);
  try {
    for (const id of ids) {
      expect(await redis.pttl(keys.route(id))).toBeGreaterThan(0);
      expect(await redis.pttl(keys.instance(id))).toBeGreaterThan(0);
    }
    expect(await redis.zcard(keys.instances)).toBe(0);
    expect(await redis.zcard(keys.pending)).toBe(0);
    const hosts = await redis.zrange(keys.hosts, '0', '-1');
    for (const host of hosts) expect(await redis.hlen(keys.hostInstances(host))).toBe(0);
  } finally {
    await redis.quit();
  }
}, 180_000);

// One worker may take all of a few jobs, so the number of instances is open.
test('both workers start instances', async () => {
  await waitFor('a start by each worker', async () => {
    await site.api('POST', '/v1/instances', {}, { prefer: 'wait=60' });
    return site.workers.every((worker) => worker.log().includes('instance ready'));
  });
});

test('creations and kills through one replica take effect on the other at once', async () => {
  const [first, second] = site.publicUrls;
  const id = await (await fetch(`${first}/demo/new?redirect=0`)).text();
  expect(await (await fetch(`${second}/demo/${id}/id`)).text()).toBe(id);
  expect((await site.api('DELETE', `/v1/instances/${id}`, undefined, {}, 0)).status).toBe(202);
  await waitFor(
    '410 on the other replica',
    async () => (await fetch(`${second}/demo/${id}/id`)).status === 410,
  );
});
