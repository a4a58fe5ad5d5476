import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, TOKEN, deploy } from './deployment.ts';
import { docker } from './docker-cli.ts';

// Tests pausing and resuming of instances. Requests must never reach a frozen container.

const template = (more: string) =>
  `{ image: ephemera/demo, port: 8080, stopGrace: 1s, readOnly: true, tmpfs: { /tmp: 8m }, ${more} }`;
const TEMPLATES = `
default: manual
templates:
  manual: ${template('timeout: 60s, maxTimeout: 5m')}
  woken: ${template('timeout: 60s, resume: request')}
  napping: ${template('timeout: 2s, maxTimeout: 60s, onTimeout: pause, resume: request')}
  brief: ${template('timeout: 2s, maxTimeout: 6s, onTimeout: pause')}
`;

let site: Deployment;
beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES, proxies: 2, workers: 2 });
});
afterAll(() => site.stop());

interface Shown {
  readonly id: string;
  readonly expiresAt: string;
  readonly maxExpiresAt: string;
  readonly status: { readonly state: string; readonly reason?: string };
}

async function start(template: string): Promise<Shown> {
  const answer = await site.api('POST', '/v1/instances', { template }, { prefer: 'wait=30' });
  expect(answer.status).toBe(201);
  return (await answer.json()) as Shown;
}

const post = (id: string, op: string) => site.api('POST', `/v1/instances/${id}/${op}`);
const show = async (id: string) =>
  (await (await site.api('GET', `/v1/instances/${id}`)).json()) as Shown;
const visit = (id: string, replica = 0) =>
  fetch(`${site.publicUrls[replica] ?? ''}/demo/${id}/id`, {
    headers: { accept: 'application/json' },
  });

async function isFrozen(id: string): Promise<boolean> {
  const [container = ''] = await docker('ps', '-q', '--filter', `label=ephemera.instance=${id}`);
  const [paused] = await docker('inspect', '--format', '{{.State.Paused}}', container);
  return paused === 'true';
}

test('a paused instance answers 503 on every replica until it is resumed', async () => {
  const { id } = await start('manual');
  for (const replica of [0, 1]) expect((await visit(id, replica)).status).toBe(200);
  for (let i = 0; i < 2; i++) {
    const paused = await post(id, 'pause');
    expect(paused.status).toBe(200);
    expect(((await paused.json()) as Shown).status.state).toBe('paused');
  }
  expect(await isFrozen(id)).toBe(true);
  for (const replica of [0, 1]) {
    const refused = await visit(id, replica);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ type: 'urn:ephemera:problem:paused' });
  }
  expect((await site.api('POST', `/v1/instances/${id}/renew`, { timeout: 120 })).status).toBe(200);
  for (let i = 0; i < 2; i++) expect((await post(id, 'resume')).status).toBe(200);
  expect(await isFrozen(id)).toBe(false);
  for (const replica of [0, 1]) expect(await (await visit(id, replica)).text()).toBe(id);
});

test('with resume: request, the next requests resume the instance and are all served', async () => {
  const { id } = await start('woken');
  expect((await post(id, 'pause')).status).toBe(200);
  expect(await isFrozen(id)).toBe(true);
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => visit(id, i % 2)));
  expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
  expect(await isFrozen(id)).toBe(false);
  expect((await show(id)).status.state).toBe('ready');
});

// Concurrent pauses and resumes: a ready instance must never be frozen.
test('concurrent pauses and resumes end in a consistent state, and a ready instance serves', async () => {
  const { id } = await start('manual');
  for (let round = 0; round < 15; round++) {
    await Promise.all([post(id, 'pause'), post(id, 'resume'), post(id, 'pause')]);
    await post(id, 'resume');
    expect((await show(id)).status.state).toBe('ready');
    expect(await isFrozen(id)).toBe(false);
    expect((await visit(id)).status).toBe(200);
  }
});

test('with onTimeout: pause, the deadline pauses the instance and a request renews its lease', async () => {
  const { id, expiresAt } = await start('napping');
  await waitFor('the paused state', async () => (await show(id)).status.state === 'paused');
  await waitFor('the container to be frozen', () => isFrozen(id));
  const napping = await show(id);
  expect(napping.expiresAt).toBe(napping.maxExpiresAt);
  expect(Date.parse(napping.expiresAt)).toBeGreaterThan(Date.parse(expiresAt));
  expect(await (await visit(id)).text()).toBe(id);
  const awake = await show(id);
  expect(awake.status.state).toBe('ready');
  expect(Date.parse(awake.expiresAt)).toBeLessThan(Date.parse(napping.expiresAt));
  // The new deadline is earlier than the one that the kill job was scheduled for.
  await waitFor('the next pause', async () => (await show(id)).status.state === 'paused', 10_000);
});

test('a paused instance is killed at its ceiling', async () => {
  const { id } = await start('brief');
  await waitFor('the paused state', async () => (await show(id)).status.state === 'paused');
  const dead = await waitFor('the end of the instance', async () => {
    const { status } = await show(id);
    return status.state === 'gone' && status;
  });
  expect(dead.reason).toBe('ttl');
  expect((await visit(id)).status).toBe(410);
  // Reconciliation may remove it at the same time. Docker then answers 409 before it is gone.
  await waitFor('the removal of the container', async () => {
    return (await docker('ps', '-aq', '--filter', `label=ephemera.instance=${id}`)).length === 0;
  });
  expect((await post(id, 'resume')).status).toBe(410);
  expect((await post('a'.repeat(26), 'pause')).status).toBe(404);
});

test('pauses and resumes emit events', async () => {
  const { id } = await start('manual');
  await post(id, 'pause');
  await post(id, 'resume');
  const url = `${site.adminUrls[1] ?? ''}/v1/events?instance=${id}`;
  const headers = { authorization: `Bearer ${TOKEN}`, 'last-event-id': '0' };
  const leaving = new AbortController();
  const answer = await fetch(url, { headers, signal: leaving.signal });
  let text = '';
  for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    if (text.includes('event: resumed')) break;
  }
  leaving.abort();
  const types = [...text.matchAll(/^event: (\w+)$/gm)].map(([, type]) => type);
  expect(types).toEqual(['pending', 'starting', 'ready', 'paused', 'resumed']);
});
