import { waitFor } from '@ephemera/test-support';
import { Queue } from 'bullmq';
import { killQueue } from '@ephemera/queue';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BEARER, openDashboard } from './fixture.ts';
import type { Fixture } from './fixture.ts';

let fixture: Fixture;
beforeAll(async () => (fixture = await openDashboard()));
afterAll(() => fixture.stop());

interface ShownQueue {
  readonly name: string;
  readonly jobs: readonly { id: string; name: string; data: unknown }[];
}

const shown = async (query = ''): Promise<ShownQueue[]> => {
  const answer = await fetch(`${fixture.url}/dashboard/queues/api/queues${query}`, {
    headers: BEARER,
  });
  return ((await answer.json()) as { queues: ShownQueue[] }).queues;
};
const ask = async (method: string, path: string, body?: unknown) => {
  const answer = await fetch(`${fixture.url}/dashboard/queues/api/queues/${path}`, {
    method,
    headers: { ...BEARER, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return answer.status;
};

test("a host's queue appears with the host, and stays when the host is gone", async () => {
  const names = async () => (await shown()).map(({ name }) => name);
  expect(await names()).toEqual(['instance-spawn', 'pool-refill', 'webhook']);
  await fixture.hosts.heartbeat('host-a', await fixture.instances.now());
  expect(await names()).toContain('instance-kill-host-a');
  await fixture.hosts.heartbeat('host-a', 0);
  expect(await names()).toContain('instance-kill-host-a');
});

test('a delayed kill shows its instance and due time, and no secrets', async () => {
  const { id, generation } = await fixture.startInstance('host-b');
  const queue = new Queue(killQueue('host-b'), {
    connection: fixture.redis,
    prefix: fixture.queuePrefix,
  });
  const job = await queue.getJob(`${id}-${generation}`);
  await job?.updateData({ ...job.data, env: { SECRET: 'hidden' } });
  const [killJobs] = (await shown(`?activeQueue=${queue.name}&status=delayed`)).filter(
    ({ name }) => name === queue.name,
  );
  expect(killJobs?.jobs).toHaveLength(1);
  expect(killJobs?.jobs[0]?.name).toMatch(new RegExp(`^kill · ${id} · due \\d{4}-\\d\\d-\\d\\dT`));
  expect(killJobs?.jobs[0]?.data).toEqual({
    id,
    generation,
    dueAt: expect.stringMatching(/Z$/) as string,
  });
  await queue.close();
});

test('a kill can be promoted and removed', async () => {
  const { id, generation } = await fixture.startInstance('host-c');
  expect(await ask('PUT', `instance-kill-host-c/${id}-${generation}/promote`)).toBe(204);
  expect(await ask('PUT', `instance-kill-host-c/${id}-${generation}/clean`)).toBe(204);
  expect(await ask('PUT', `instance-kill-host-c/pause`)).toBe(200);
  expect(await ask('PUT', `instance-kill-host-c/resume`)).toBe(200);
});

test('jobs cannot be created or changed, and queues cannot be deleted', async () => {
  const { id, generation } = await fixture.startInstance('host-d');
  const queue = 'instance-kill-host-d';
  const job = `${queue}/${id}-${generation}`;
  const forged = { id: 'a'.repeat(26), generation: 1 };
  const answers = await Promise.all([
    ask('POST', `${queue}/add`, { name: 'kill', data: forged, options: {} }),
    ask('PATCH', `${job}/update-data`, { jobData: forged }),
    ask('PATCH', `${job}/delay`, { delay: 1 }),
    ask('PATCH', `${job}/priority`, { priority: 1 }),
    ask('PUT', `${queue}/empty`),
    ask('PUT', `${queue}/obliterate`, { force: true }),
    ask('PUT', `${queue}/concurrency`, { concurrency: 1 }),
    ask('PUT', `${queue}/rate-limit`, { max: 1, duration: 1_000 }),
  ]);
  expect(new Set(answers)).toEqual(new Set([403]));
  await waitFor('the kill job', async () => {
    const found = await shown(`?activeQueue=${queue}&status=delayed`);
    return found.some(({ jobs }) => jobs.some((item) => item.id === `${id}-${generation}`));
  });
});
