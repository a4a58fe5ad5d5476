import { demoTemplate, waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { containersOf } from './docker-cli.ts';

// A host with capacity for three instances, a template with a limit of two and a queue, and two
// instances per visitor.

const TEMPLATES = `
default: queued
limits: { perAddress: 2 }
templates:
  queued: ${demoTemplate({ timeout: '60s', maxInstances: 2, maxQueued: 2 })}
  refused: ${demoTemplate({ timeout: '60s', whenFull: 'refuse' })}
`;

let site: Deployment;

beforeAll(async () => {
  site = await deploy({
    templates: TEMPLATES,
    proxies: 2,
    workers: 2,
    env: { EPHEMERA_MAX_INSTANCES: '3' },
  });
});
afterAll(() => site.stop());

interface Shown {
  readonly id: string;
  readonly status: { readonly state: string; readonly message?: string };
}

const show = async (id: string) =>
  (await (await site.api('GET', `/v1/instances/${id}`)).json()) as Shown;
const end = (id: string) => site.api('DELETE', `/v1/instances/${id}`);
const gone = () =>
  waitFor('no container', async () => (await containersOf(site.namespace)).length === 0);

test('creations beyond the template limit are queued, show their position, and are admitted', async () => {
  const asked = await Promise.all(
    Array.from({ length: 7 }, (_, i) =>
      site.api('POST', '/v1/instances', { template: 'queued' }, {}, i % 2),
    ),
  );
  const statuses = asked.map(({ status }) => status).sort((a, b) => a - b);
  expect(statuses).toEqual([202, 202, 202, 202, 429, 429, 429]);
  const refused = asked.find(({ status }) => status === 429);
  expect(refused?.headers.get('retry-after')).toBe('10');
  expect(await refused?.json()).toMatchObject({
    type: 'urn:ephemera:problem:full',
    title: 'Full',
    limit: 'queue',
  });
  const taken = await Promise.all(
    asked
      .filter(({ status }) => status === 202)
      .map(async (response) => (await response.json()) as Shown),
  );
  const shown = await Promise.all(taken.map(({ id }) => show(id)));
  const waiting = shown.filter(({ status }) => status.message?.startsWith('queued'));
  expect(waiting.map(({ status }) => status.message).sort()).toEqual([
    'queued at position 1 of 2',
    'queued at position 2 of 2',
  ]);
  const first = waiting.find(({ status }) => status.message?.includes('position 1'));
  const running = shown.filter((item) => !waiting.includes(item));
  await waitFor('two ready instances', async () => {
    const states = await Promise.all(running.map(async ({ id }) => (await show(id)).status.state));
    return states.every((state) => state === 'ready');
  });
  expect(await containersOf(site.namespace)).toHaveLength(2);
  await end(running[0]?.id ?? '');
  const admitted = first?.id ?? '';
  await waitFor(
    'the first queued instance to be ready',
    async () => (await show(admitted)).status.state === 'ready',
  );
  expect(await (await fetch(`${site.publicUrls[1]}/demo/${admitted}/id`)).text()).toBe(admitted);
  await Promise.all(shown.map(({ id }) => end(id)));
  await gone();
});

test('a full host refuses creations of a template without a queue', async () => {
  const asked = await Promise.all(
    Array.from({ length: 30 }, (_, i) =>
      site.api('POST', '/v1/instances', { template: 'refused' }, { prefer: 'wait=60' }, i % 2),
    ),
  );
  expect(asked.filter(({ status }) => status === 201)).toHaveLength(3);
  const refused = asked.filter(({ status }) => status === 429);
  expect(refused).toHaveLength(27);
  expect(await refused[0]?.json()).toMatchObject({ limit: 'hosts' });
  expect(await containersOf(site.namespace)).toHaveLength(3);
  expect((await site.api('DELETE', '/v1/instances')).status).toBe(202);
  await gone();
  const again = await site.api('POST', '/v1/instances', { template: 'refused' });
  expect(again.status).toBe(202);
  await end(((await again.json()) as Shown).id);
  await gone();
});

test('the limit per address cannot be evaded with X-Forwarded-For', async () => {
  const visits = [];
  for (let i = 0; i < 4; i++) {
    visits.push(
      await fetch(`${site.publicUrls[i % 2]}/demo/new?redirect=0&template=refused`, {
        headers: { 'x-forwarded-for': `192.0.2.${i}` },
      }),
    );
  }
  expect(visits.map(({ status }) => status)).toEqual([200, 200, 429, 429]);
  const ids = await Promise.all(visits.slice(0, 2).map((visit) => visit.text()));
  await end(ids[0] ?? '');
  await firstGone();
  const again = await fetch(`${site.publicUrls[0]}/demo/new?redirect=0&template=refused`);
  expect(again.status).toBe(200);
  await Promise.all([end(ids[1] ?? ''), end(await again.text())]);
  await gone();

  async function firstGone(): Promise<void> {
    await waitFor(
      'the first instance to be gone',
      async () => (await show(ids[0] ?? '')).status.state === 'gone',
    );
  }
});
