import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { keysOf, redisLogArchive } from '@ephemera/store';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { BEARER, HTML, READER, TOKEN, postForm, openDashboard, signIn } from './fixture.ts';
import type { Fixture } from './fixture.ts';

// The audit log: changes and refused requests, in lines with one constant message.

let fixture: Fixture;
let before = 0;
beforeAll(async () => {
  fixture = await openDashboard();
});
afterAll(() => fixture.stop());
beforeEach(() => {
  before = fixture.log.length;
});

/** The audit lines of this test, without common fields. */
const acts = () =>
  fixture.log
    .slice(before)
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === 'administrative act')
    .map(({ time, app, pid, msg, ...rest }) => {
      expect([time, app, pid, msg]).not.toContain(undefined);
      return rest;
    });

const common = { level: 'info', address: '127.0.0.1' };

test('audits logins, refused logins, and logouts', async () => {
  const cookie = await signIn(fixture.url);
  await postForm(`${fixture.url}/dashboard/login`, { token: 'not-the-token-at-all' });
  await postForm(`${fixture.url}/dashboard/logout`, {}, { cookie });
  expect(acts()).toEqual([
    { ...common, by: 'admin', action: 'login', status: 303, result: 'done' },
    { ...common, by: 'nobody', action: 'login', status: 401, result: 'refused' },
    { ...common, by: 'admin', action: 'logout', status: 303, result: 'done' },
  ]);
  expect(fixture.log.join('')).not.toContain(TOKEN);
});

test('audits ending an instance and actions on jobs and queues, with the client behind a balancer', async () => {
  const { id, generation } = await fixture.startInstance('host-a');
  const from = { ...BEARER, 'x-forwarded-for': '203.0.113.9, 198.51.100.7:4001' };
  const put = (path: string) =>
    fetch(`${fixture.url}/dashboard/queues/api/queues/${path}`, { method: 'PUT', headers: from });
  await put(`instance-kill-host-a/${id}-${generation}/promote`);
  await put('instance-kill-host-a/pause');
  await put('instance-kill-host-a/resume');
  await put('instance-kill-host-a/obliterate');
  await postForm(`${fixture.url}/dashboard/instances/${id}/end`, {}, from);
  const by = { ...common, address: '198.51.100.7', by: 'admin' };
  const queue = 'instance-kill-host-a';
  const job = `${id}-${generation}`;
  expect(acts()).toEqual([
    { ...by, action: 'job.promote', id, queue, job, status: 204, result: 'done' },
    { ...by, action: 'queue.pause', queue, status: 200, result: 'done' },
    { ...by, action: 'queue.resume', queue, status: 200, result: 'done' },
    { ...by, action: 'queue.obliterate', queue, status: 403, result: 'refused' },
    { ...by, action: 'instance.end', id, status: 303, result: 'done' },
  ]);
});

test('audits refused requests of a read-only token and without a token', async () => {
  const { id } = await fixture.draftInstance();
  const headers = { authorization: `Bearer ${READER}` };
  await postForm(`${fixture.url}/dashboard/instances/${id}/end`, {}, headers);
  await fetch(`${fixture.url}/dashboard/instances/${id}/end`, { method: 'POST' });
  expect(acts()).toEqual([
    { ...common, by: 'looker', action: 'instance.end', id, status: 403, result: 'refused' },
    { ...common, by: 'nobody', action: 'instance.end', id, status: 401, result: 'refused' },
  ]);
});

test('audits every spelling of a path with its object', async () => {
  const { id } = await fixture.startInstance('host-a');
  const post = async (path: string) =>
    (await postForm(`${fixture.url}/dashboard/instances/${path}`, {}, BEARER)).status;
  expect(await post(`${id}/end/`)).toBe(404);
  expect(await post(`${id}/END`)).toBe(404);
  expect(await fixture.instances.get(id)).toMatchObject({ state: 'ready' });
  expect(await post(`%${id.charCodeAt(0).toString(16)}${id.slice(1)}/end`)).toBe(303);
  // From this request on, the board knows the host's queue.
  await fetch(`${fixture.url}/dashboard/queues/api/queues`, { headers: BEARER });
  await fetch(`${fixture.url}/dashboard/queues/API/Queues/instance-kill-host-%61/Pause`, {
    method: 'PUT',
    headers: BEARER,
  });
  const by = { ...common, by: 'admin' };
  expect(acts().slice(2)).toEqual([
    { ...by, action: 'instance.end', id, status: 303, result: 'done' },
    { ...by, action: 'queue.pause', queue: 'instance-kill-host-a', status: 200, result: 'done' },
  ]);
});

test('audits the change of selected instances with their ids', async () => {
  const first = await fixture.startInstance('host-a');
  const second = await fixture.startInstance('host-a');
  const change = (headers: Record<string, string>, action: string) =>
    fetch(`${fixture.url}/dashboard/instances`, {
      method: 'POST',
      redirect: 'manual',
      headers: { ...HTML, ...headers },
      body: new URLSearchParams([
        ...[
          ['action', action],
          ['id', first.id],
          ['id', second.id],
        ],
      ]),
    });
  await change(BEARER, 'extend');
  await change(BEARER, 'end');
  await change({ authorization: `Bearer ${READER}` }, 'end');
  const ids = [first.id, second.id];
  const rest = { unchangedIds: [], failedIds: [], status: 303, result: 'done' };
  expect(acts()).toEqual([
    { ...common, by: 'admin', action: 'instance.renew', ids, ...rest },
    { ...common, by: 'admin', action: 'instance.end', ids, ...rest },
    {
      ...{ ...common, by: 'looker', action: 'instance.change-selected' },
      ...{ status: 403, result: 'refused' },
    },
  ]);
});

test('audits the page of ended instances with the ids of the logs that it shows', async () => {
  const archive = redisLogArchive(fixture.redis, keysOf('dashboardtest'), 60_000);
  const silent = await fixture.startInstance('host-a');
  const logged = await fixture.startInstance('host-a');
  for (const { id } of [silent, logged]) {
    await fixture.instances.startDraining(id, 'request');
    await fixture.instances.finalize(id, (await fixture.instances.get(id))?.generation ?? 0);
  }
  const get = () => fetch(`${fixture.url}/dashboard/ended`, { headers: BEARER });
  await get();
  expect(acts()).toEqual([]);
  const time = '2030-01-01T00:00:00.000000000Z';
  await archive.save(logged.id, [{ time, stream: 'stdout', text: 'line\n' }]);
  await get();
  expect(acts()).toEqual([
    {
      ...{ ...common, by: 'admin', action: 'instance.read-log', ids: [logged.id] },
      ...{ status: 200, result: 'done' },
    },
  ]);
});

test('does not audit reads', async () => {
  await fetch(`${fixture.url}/dashboard/instances`, { headers: { ...HTML, ...BEARER } });
  await fetch(`${fixture.url}/dashboard/queues/api/queues`, { headers: BEARER });
  expect(acts()).toEqual([]);
});

// DNS rebinding: the attacker's own name points to this machine, and is then same-origin.
test.each([
  ['rebound.evil.example', 421],
  ['localhost.evil.example', 421],
  ['127.0.0.1.evil.example', 421],
  ['localhost', 200],
  ['127.0.0.1:8082', 200],
  ['[::1]:8082', 200],
  ['dash.localhost:8082', 200],
])('requested as %s: %i', async (host, status) => {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    get(
      `${fixture.url}/dashboard/login`,
      { headers: { host, ...HTML }, agent: false },
      resolve,
    ).once('error', reject);
  });
  expect(answer.statusCode).toBe(status);
  expect(await text(answer)).not.toContain('evil.example');
});
