import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { containersOf } from './docker-cli.ts';
import { TEMPLATES } from './templates.ts';

// The only worker is killed before the deadline of its instances and restarted after it.

let site: Deployment;

beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES });
});
afterAll(() => site.stop());

test('access ends at the deadline without a worker, and the next worker removes overdue containers', async () => {
  const answers = await Promise.all(
    Array.from({ length: 3 }, () =>
      site.api('POST', '/v1/instances', { timeout: 4 }, { prefer: 'wait=30' }),
    ),
  );
  const made = (await Promise.all(answers.map((answer) => answer.json()))) as {
    id: string;
    expiresAt: string;
  }[];
  const worker = site.workers[0];
  const dead = new Promise((resolve) => worker?.child.once('exit', resolve));
  worker?.child.kill('SIGKILL');
  await dead;

  const base = site.publicUrls[0];
  for (const { id } of made) {
    await waitFor(
      '410 without a worker',
      async () => (await fetch(`${base}/demo/${id}/id`)).status === 410,
    );
  }
  const last = Math.max(...made.map(({ expiresAt }) => Date.parse(expiresAt)));
  await waitFor('the last deadline', () => Date.now() > last);
  expect(await containersOf(site.namespace)).toHaveLength(3);

  const startedAgain = Date.now();
  await site.startWorker();
  await waitFor(
    'the removal of the containers',
    async () => (await containersOf(site.namespace)).length === 0,
  );
  expect(Date.now() - startedAgain).toBeLessThan(10_000);
  for (const { id } of made) {
    const left = (await (await site.api('GET', `/v1/instances/${id}`)).json()) as object;
    expect(left).toMatchObject({ status: { state: 'gone', reason: 'ttl' } });
  }
});

test('an instance created without a running worker starts once a worker runs', async () => {
  const worker = site.workers.at(-1);
  const dead = new Promise((resolve) => worker?.child.once('exit', resolve));
  worker?.child.kill('SIGKILL');
  await dead;
  const created = await site.api('POST', '/v1/instances', {});
  expect(created.status).toBe(202);
  const { id } = (await created.json()) as { id: string };
  await site.startWorker();
  const answer = await fetch(`${site.publicUrls[0]}/demo/${id}/id`);
  expect(await answer.text()).toBe(id);
});
