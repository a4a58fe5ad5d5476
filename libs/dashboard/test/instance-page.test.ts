import { keysOf, redisIntake, redisLogArchive, redisSuspensions } from '@ephemera/store';
import type { LogLine } from '@ephemera/lifecycle';
import { containerName } from '@ephemera/lifecycle';
import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { CREATOR, HTML, READER, host, openDashboard, postForm, signIn } from './fixture.ts';
import type { Fixture } from './fixture.ts';

let fixture: Fixture;
let cookie: string;

beforeAll(async () => {
  fixture = await openDashboard();
  cookie = await signIn(fixture.url);
});
afterAll(() => fixture.stop());
beforeEach(async () => {
  await fixture.redis.flushall();
  host.reply = () => undefined;
});

const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(`${fixture.url}/dashboard/instances/${path}`, { headers: { cookie, ...headers } });
const page = async (id: string, query = '') =>
  (await (await get(`${id}${query}`, HTML)).text()).replace(/\s+/g, ' ');
const post = (path: string, fields: Record<string, string> = {}, own = cookie) =>
  postForm(`${fixture.url}/dashboard/instances/${path}`, fields, { cookie: own });

const lineAt = (second: number, text: string): LogLine => ({
  time: `2030-01-01T00:00:0${second}.000000000Z`,
  stream: 'stdout',
  text: `${text}\n`,
});

test('the page shows lease, timeline, container, route, kill job and metadata of an instance', async () => {
  const { id, generation, expiresAt } = await fixture.startInstance('host-a', {
    metadata: { branch: '<main>' },
  });
  const text = await page(id);
  expect(text).toMatch(/role="timer" data-left="1[78]\d{5}"/);
  expect(text).toContain(new Date(expiresAt).toISOString());
  expect(text).toMatch(/created<\/span>.*assigned to a host<\/span>.*ready<\/span>/);
  expect(text).toContain(containerName('dashboardtest', { id, generation }));
  expect(text).toContain('<code>10.231.1.1:8080</code> on host-a');
  expect(text).toContain(`/dashboard/queues/queue/instance-kill-host-a/${id}-${generation}`);
  expect(text).toMatch(/<dt>Runs<\/dt> <dd><time[^>]*>in 29m/);
  expect(text).toMatch(/<dt>branch<\/dt> <dd>&lt;main&gt;<\/dd>/);
});

test('the route shows the port of the host, if the host publishes it', async () => {
  const { id, generation } = await fixture.draftInstance();
  await fixture.hosts.heartbeat('host-a', await fixture.instances.now());
  await fixture.instances.assignToHost(id, generation, 'host-a');
  const published = { address: '10.0.0.21', ports: { '8080': 20_007 } };
  await fixture.instances.markReady(id, generation, '10.231.1.1', 'host-a', published);
  expect(await page(id)).toContain('<code>10.0.0.21:20007</code> on host-a');
});

test('variables are listed by name and origin, never with their values', async () => {
  const { id } = await fixture.startInstance('host-a');
  const text = await page(id);
  expect(text).toMatch(/<code>SECRET<\/code> <span class="soft" ?>by its creation/);
  expect(text).toMatch(/<code>TEMPLATE_SECRET<\/code> <span class="soft" ?>by the template/);
  expect(text).not.toContain('hidden-in');
});

test('an ended instance keeps its page, with the reason, the timeline and the hint', async () => {
  const { id, generation } = await fixture.startInstance('host-a');
  await fixture.instances.startDraining(id, 'exited', 'It exited with <1>.', {
    code: 'no_space',
    text: 'The disk is full.',
  });
  const { generation: last = 0 } = (await fixture.instances.get(id)) ?? {};
  await fixture.instances.finalize(id, last);
  const text = await page(id);
  expect(text).toContain('<span class="state gone">gone</span> <span>Its container exited.</span>');
  expect(text).toContain('It exited with &lt;1&gt;.');
  expect(text).toContain('The disk is full.');
  expect(text).toMatch(/end started<\/span>.*exited<\/span>.*container removed<\/span>/);
  // The container had the generation before the end.
  expect(text).toContain(containerName('dashboardtest', { id, generation }));
  expect(text).not.toMatch(/<form[^>]*\/(?:end|extend|pause)/);
  expect(text).not.toContain('id="usage"');
});

test('an unknown instance has no page, no log and no usage', async () => {
  const id = 'a'.repeat(26);
  for (const path of [id, `${id}/log`, `${id}/log.txt`, `${id}/usage`]) {
    expect((await get(path)).status, path).toBe(404);
  }
});

test('a log is read page by page, from the host and later from the archive', async () => {
  const { id } = await fixture.startInstance('host-a');
  const asked: unknown[] = [];
  host.reply = (request) => {
    asked.push(request);
    const isFirst = request.op === 'logs' && request.after === undefined;
    const lines = isFirst ? [lineAt(1, 'one'), lineAt(1, 'two')] : [lineAt(2, 'three')];
    return { kind: 'done', value: { lines, more: isFirst } };
  };
  const first = (await (await get(`${id}/log`)).json()) as { next: { time: string } };
  expect(first).toEqual({
    lines: [lineAt(1, 'one'), lineAt(1, 'two')],
    more: true,
    next: { time: lineAt(1, '').time, count: 2 },
    isOver: false,
  });
  const second = await get(`${id}/log?after=${first.next.time}&count=2`);
  expect(await second.json()).toMatchObject({ lines: [lineAt(2, 'three')], more: false });
  const { generation = 0 } = (await fixture.instances.get(id)) ?? {};
  expect(asked).toEqual([
    { op: 'logs', id, generation, tail: 500 },
    { op: 'logs', id, generation, after: { time: first.next.time, count: 2 } },
  ]);

  const file = await get(`${id}/log.txt`);
  expect(file.headers.get('content-disposition')).toBe(`attachment; filename="${id}.log"`);
  expect(file.headers.get('content-type')).toBe('text/plain; charset=utf-8');
  expect(await file.text()).toBe(
    [lineAt(1, 'one'), lineAt(1, 'two'), lineAt(2, 'three')]
      .map(({ time, text }) => `${time} ${text}`)
      .join(''),
  );

  const archive = redisLogArchive(fixture.redis, keysOf('dashboardtest'), 60_000);
  await archive.save(id, [lineAt(3, 'last words')]);
  await fixture.instances.startDraining(id, 'request');
  const draining = await fixture.instances.get(id);
  await fixture.instances.finalize(id, draining?.generation ?? 0);
  host.reply = () => undefined;
  expect(await (await get(`${id}/log`)).json()).toMatchObject({
    lines: [lineAt(3, 'last words')],
    isOver: true,
  });
});

test('a host that does not reply is a 503, also of a download', async () => {
  const { id } = await fixture.startInstance('host-a');
  for (const path of [`${id}/log`, `${id}/log.txt`, `${id}/usage`]) {
    const answer = await get(path);
    expect([path, answer.status]).toEqual([path, 503]);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
  }
  expect((await post(`${id}/pause`)).status).toBe(503);
});

test.each(['after=x', 'after=2030-01-01T00:00:00Z', 'count=0', 'count=x', 'else=1'])(
  'the position %s in a log is refused',
  async (query) => {
    const { id } = await fixture.startInstance('host-a');
    expect((await get(`${id}/log?${query}`)).status).toBe(400);
  },
);

test('a lease is extended, and never above its maximum', async () => {
  const { id, expiresAt, maxExpiresAt } = await fixture.startInstance('host-a');
  const deadline = async () => (await fixture.instances.get(id))?.expiresAt ?? 0;
  const extended = await post(`${id}/extend`, { by: '15m' });
  expect(extended.headers.get('location')).toBe(`/dashboard/instances/${id}?notice=extended`);
  expect(await deadline()).toBe(expiresAt + 900_000);
  expect(await page(id, '?notice=extended')).toContain('The lease was extended.');
  const most = await post(`${id}/extend`, { by: 'max' });
  expect(most.headers.get('location')).toBe(`/dashboard/instances/${id}?notice=maximum`);
  expect(await deadline()).toBe(maxExpiresAt);
  expect(await page(id)).not.toContain('id="extend-');
  expect((await post(`${id}/extend`, { by: '2h' })).status).toBe(400);
  const draft = await fixture.draftInstance();
  expect((await post(`${draft.id}/extend`, { by: '15m' })).status).toBe(409);
  await fixture.instances.startDraining(id, 'request');
  expect((await post(`${id}/extend`, { by: '15m' })).status).toBe(410);
});

test('an instance is paused, resumed and ended from its page', async () => {
  const { id } = await fixture.startInstance('host-a');
  const suspensions = redisSuspensions(fixture.redis, keysOf('dashboardtest'));
  const before = (op: string) => (op === 'pause' ? suspensions.pause(id) : suspensions.resume(id));
  for (const [op, notice, state] of [
    ['pause', 'paused', 'paused'],
    ['resume', 'resumed', 'ready'],
  ] as const) {
    await before(op);
    host.reply = () => ({ kind: 'done', value: null });
    const answer = await post(`${id}/${op}`);
    expect(answer.headers.get('location')).toBe(`/dashboard/instances/${id}?notice=${notice}`);
    expect(await page(id)).toContain(`<span class="state ${state}">${state}</span>`);
  }
  expect((await post(`${id}/pause`)).status).toBe(409);
  const ended = await post(`${id}/end?from=instance`);
  expect(ended.headers.get('location')).toBe(`/dashboard/instances/${id}?notice=ending`);
  expect(await fixture.instances.get(id)).toMatchObject({ state: 'draining', reason: 'request' });
});

test('a token of scope create changes its own instances only, and read none', async () => {
  const intake = redisIntake(fixture.redis, keysOf('dashboardtest'));
  const quotaOwner = { name: 'token:ci', limit: 'token', max: undefined } as const;
  const made = await intake.createOrQueue(sampleDraft({ template: sampleTemplate() }), {
    quotaOwner,
  });
  if (made.kind !== 'created') throw new Error(made.kind);
  const own = made.instance.id;
  const { id: other } = await fixture.startInstance('host-a');
  const [creator, reader] = [await signIn(fixture.url, CREATOR), await signIn(fixture.url, READER)];
  const pageOf = async (id: string, as: string) => (await get(id, { ...HTML, cookie: as })).text();
  expect(await pageOf(own, creator)).toContain(`/dashboard/instances/${own}/end`);
  expect(await pageOf(other, creator)).not.toContain(`/dashboard/instances/${other}/end`);
  expect(await pageOf(own, reader)).not.toContain(`/dashboard/instances/${own}/end`);
  for (const action of ['extend', 'pause', 'resume', 'end']) {
    const fields = action === 'extend' ? { by: '15m' } : {};
    expect((await post(`${other}/${action}`, fields, creator)).status, action).toBe(403);
    expect((await post(`${own}/${action}`, fields, reader)).status, action).toBe(403);
  }
  // Its scope suffices; the instance is not ready yet.
  expect((await post(`${own}/extend`, { by: '15m' }, creator)).status).toBe(409);
  expect((await post(`${own}/end`, {}, creator)).status).toBe(303);
  expect(await fixture.instances.get(own)).toMatchObject({ state: 'gone', reason: 'request' });
  expect(await fixture.instances.get(other)).toMatchObject({ state: 'ready' });
});

test('changes are audited, and the reading of a log once, whatever its position', async () => {
  const { id } = await fixture.startInstance('host-a');
  host.reply = () => ({ kind: 'done', value: { lines: [], more: false } });
  fixture.clearLog();
  await get(`${id}/log?after=${lineAt(1, '').time}`);
  await get(`${id}/log?after=${lineAt(2, '').time}`);
  await get(`${id}/log.txt`);
  await post(`${id}/extend`, { by: '15m' });
  await post(`${id}/pause`);
  const entries = fixture.log
    .map((line) => JSON.parse(line) as { msg: string; action: string; id: string })
    .filter(({ msg }) => msg === 'administrative act');
  expect(entries.map(({ action }) => action)).toEqual([
    ...['instance.read-log', 'instance.read-log', 'instance.renew', 'instance.pause'],
  ]);
  expect(new Set(entries.map((entry) => entry.id))).toEqual(new Set([id]));
});
