import { demoTemplate, waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';
import { containersOf, docker } from './docker-cli.ts';

// A pool of three warm instances. The proxy hands them out, and the worker replaces them.

const TEMPLATES = `
default: pooled
templates:
  pooled: ${demoTemplate({ timeout: '60s', maxTimeout: '10m', pool: 3, envAllow: ['A'] })}
`;

let site: Deployment;

beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES });
});
afterAll(() => site.stop());

interface Shown {
  readonly id: string;
  readonly status: { readonly state: string };
  readonly url: string;
}

async function inState(state: string): Promise<Shown[]> {
  const { items } = (await (await site.api('GET', '/v1/instances')).json()) as { items: Shown[] };
  return items.filter((item) => item.status.state === state);
}

const filled = () => waitFor('a full pool', async () => (await inState('warm')).length === 3);

test('a warm instance is claimed at once, belongs to one visitor, and is replaced', async () => {
  await filled();
  const warm = (await inState('warm')).map(({ id }) => id);
  // A warm instance is not reachable before its claim, even with its id.
  expect((await fetch(`${site.publicUrls[0]}/demo/${warm[0]}/id`)).status).toBe(404);

  const answer = await site.api('POST', '/v1/instances', { timeout: 45, metadata: { who: 'me' } });
  expect(answer.status).toBe(201);
  const created = (await answer.json()) as Shown;
  expect(warm).toContain(created.id);
  expect(created).toMatchObject({
    timeout: 45,
    metadata: { who: 'me' },
    status: { state: 'ready' },
  });
  expect(await (await fetch(`${site.publicUrls[0]}/demo/${created.id}/id`)).text()).toBe(
    created.id,
  );

  await filled();
  expect((await inState('warm')).map(({ id }) => id)).not.toContain(created.id);
  expect((await site.api('DELETE', `/v1/instances/${created.id}`)).status).toBe(202);
  await waitFor('the end of the instance', async () => {
    const { status } = await fetch(`${site.publicUrls[0]}/demo/${created.id}/id`);
    return status === 410 && (await containersOf(site.namespace)).length === 3;
  });
});

test('concurrent visitors get one instance each, warm or new', async () => {
  await filled();
  const ids = await Promise.all(
    Array.from({ length: 6 }, async () =>
      (await fetch(`${site.publicUrls[0]}/demo/new?redirect=0`)).text(),
    ),
  );
  expect(new Set(ids).size).toBe(6);
  const answers = await Promise.all(
    ids.map(async (id) => (await fetch(`${site.publicUrls[0]}/demo/${id}/id`)).text()),
  );
  expect(answers).toEqual(ids);
  await Promise.all(ids.map((id) => site.api('DELETE', `/v1/instances/${id}`)));
  await waitFor('three containers', async () => (await containersOf(site.namespace)).length === 3);
});

test('a warm instance with a dead container is not handed out', async () => {
  await filled();
  // The worker is suspended, so that only the claim can detect the dead containers.
  const [worker] = site.workers;
  worker?.child.kill('SIGSTOP');
  try {
    const dead = await inState('warm');
    for (const { id } of dead.slice(0, 2)) {
      const [container] = await docker('ps', '-q', '--filter', `label=ephemera.instance=${id}`);
      await docker('kill', container ?? '');
    }
    const answer = await site.api('POST', '/v1/instances', {});
    expect(answer.status).toBe(201);
    const { id } = (await answer.json()) as Shown;
    expect(await (await fetch(`${site.publicUrls[0]}/demo/${id}/id`)).text()).toBe(id);
    expect((await site.api('DELETE', `/v1/instances/${id}`)).status).toBe(202);
  } finally {
    worker?.child.kill('SIGCONT');
  }
  await filled();
});

test('a creation with environment variables gets a new instance, not a warm one', async () => {
  await filled();
  const warm = (await inState('warm')).map(({ id }) => id);
  const answer = await site.api(
    'POST',
    '/v1/instances',
    { env: { A: '1' } },
    { prefer: 'wait=60' },
  );
  const { id } = (await answer.json()) as Shown;
  expect(answer.status).toBe(201);
  expect(warm).not.toContain(id);
  await site.api('DELETE', `/v1/instances/${id}`);
});

test('the same idempotency key returns the same instance, also from a pool', async () => {
  await filled();
  const ask = (body: unknown) =>
    site.api('POST', '/v1/instances', body, { 'idempotency-key': 'order-1' });
  const answers = await Promise.all(Array.from({ length: 10 }, () => ask({ timeout: 30 })));
  const ids = await Promise.all(answers.map(async (answer) => ((await answer.json()) as Shown).id));
  expect(new Set(ids).size).toBe(1);
  expect(answers.filter((answer) => answer.headers.has('idempotency-replayed'))).toHaveLength(9);
  expect((await ask({ timeout: 31 })).status).toBe(422);
  await site.api('DELETE', `/v1/instances/${ids[0]}`);
});

test('/v1/templates shows the number of warm instances, and /v1/stats the remaining capacity', async () => {
  await filled();
  const templates = await (await site.api('GET', '/v1/templates')).json();
  expect(templates).toEqual({
    items: [
      {
        name: 'pooled',
        isDefault: true,
        port: 8080,
        ports: { web: 8080 },
        timeout: 60,
        maxTimeout: 600,
        limits: { memory: 64 * 1024 ** 2, cpus: 0.5, pids: 64 },
        instances: 3,
        queued: 0,
        whenFull: 'queue',
        isFull: false,
        pool: { size: 3, warm: 3 },
      },
    ],
  });
  const stats = await (await site.api('GET', '/v1/stats')).json();
  expect(stats).toEqual({ instances: 3, available: 997, capacity: 1000 });
});

test('a replica with a different public address than the pools logs a warning', async () => {
  const env = { EPHEMERA_PUBLIC_URL: (site.publicUrls[0] ?? '').replace('127.0.0.1', 'localhost') };
  expect((await site.startProxy({ env })).log()).not.toContain('EPHEMERA_PUBLIC_URL');
  expect((await site.startProxy()).log()).toContain('set the same EPHEMERA_PUBLIC_URL');
});
