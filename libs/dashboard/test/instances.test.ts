import { keysOf, redisHosts } from '@ephemera/store';
import { sampleTemplate, waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { BEARER, HTML, configIssues, postForm, openDashboard, signIn } from './fixture.ts';
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
});

const page = async (query = '') =>
  (
    await fetch(`${fixture.url}/dashboard/instances${query}`, { headers: { ...HTML, cookie } })
  ).text();

const idsOn = (text: string) =>
  [...text.matchAll(/name="end-|id="end-([a-z0-9]+)"/g)].map((m) => m[1]);

test('an empty deployment shows a message', async () => {
  expect(await page()).toContain('No live instances.');
  expect(await page()).toContain('No worker has reported a host yet.');
});

test('instances are counted by state, and none of their secrets is shown', async () => {
  const { id } = await fixture.startInstance('host-a');
  await fixture.startInstance('host-a');
  await fixture.draftInstance();
  const text = await page();
  const count = (state: string) =>
    new RegExp(`<dt>${state}</dt>\\s*<dd>(\\d+)</dd>`).exec(text)?.[1];
  expect([count('live'), count('pending'), count('ready'), count('draining')]).toEqual([
    '3',
    '1',
    '2',
    '0',
  ]);
  expect(text).toContain(id);
  expect(text).toContain('host-a');
  expect(text).not.toContain('hidden-in');
});

test('an instance with an idle timeout shows it', async () => {
  const template = sampleTemplate({ timeout: 1_800_000, idleTimeout: 300_000 });
  await fixture.startInstance('host-a', { template });
  expect((await page()).replace(/\s+/g, ' ')).toMatch(
    />[45]m(\d+s)?<\/time> <span class="soft">unless used/,
  );
});

test('names and messages are escaped', async () => {
  const hostile = '<img src=x onerror=alert(1)>';
  const { id } = await fixture.startInstance('<b>host</b>', {
    template: sampleTemplate({ name: hostile }),
    url: 'javascript:alert(1)',
  });
  await fixture.instances.startDraining(id, 'request', hostile);
  const text = await page();
  expect(text).toContain('&lt;img src=x');
  expect(text).not.toMatch(/<img src=x|<b>host|javascript:/);
});

test('a failed start and an exit are listed with their reason and their hint', async () => {
  const hint = {
    code: 'read_only_root',
    text: 'It wrote to /data, and its root file system is <read-only>.',
    cure: 'tmpfs: { /data: 64m }',
  } as const;
  const failed = await fixture.draftInstance();
  const exited = await fixture.startInstance('host-a');
  const ended = await fixture.startInstance('host-a');
  await fixture.instances.startDraining(failed.id, 'start_failed', 'EROFS\n<log>', hint);
  expect(await page()).toContain('tmpfs: { /data: 64m }');
  await fixture.instances.startDraining(exited.id, 'exited', 'It exited with 1.');
  await fixture.instances.startDraining(ended.id, 'request');
  for (const { id } of [failed, exited, ended]) {
    const { generation = 0 } = (await fixture.instances.get(id)) ?? {};
    expect(await fixture.instances.finalize(id, generation)).toBe(true);
  }
  const text = await page();
  expect(text).toContain('No live instances.');
  const [, failures = ''] = text.split('Recent failures');
  expect(failures.indexOf(exited.id)).toBeGreaterThan(0);
  expect(failures.indexOf(failed.id)).toBeGreaterThan(failures.indexOf(exited.id));
  expect(failures).not.toContain(ended.id);
  expect(failures).toContain('EROFS\n&lt;log&gt;');
  expect(failures).toContain('It wrote to /data, and its root file system is &lt;read-only&gt;.');
  expect(failures).toContain('<code>tmpfs: { /data: 64m }</code>');
});

test('only the last failures are listed', async () => {
  for (let i = 0; i < 12; i++) {
    const { id } = await fixture.draftInstance();
    await fixture.instances.startDraining(id, 'start_failed', `failure ${i};`);
    const { generation = 0 } = (await fixture.instances.get(id)) ?? {};
    await fixture.instances.finalize(id, generation);
  }
  const text = await page();
  expect(text).toContain('failure 11;');
  expect(text).toContain('failure 2;');
  expect(text).not.toContain('failure 1;');
});

test('paging lists every instance exactly once', async () => {
  const made = new Set<string>();
  for (let i = 0; i < 120; i++) made.add((await fixture.draftInstance()).id);
  const seen: (string | undefined)[] = [];
  let query: string | undefined = '';
  while (query !== undefined) {
    const text: string = await page(query);
    expect(idsOn(text).length).toBeLessThanOrEqual(50);
    seen.push(...idsOn(text));
    query = /href="\/dashboard\/instances(\?cursor=\d+)"/.exec(text)?.[1];
  }
  expect(seen).toHaveLength(120);
  expect(new Set(seen)).toEqual(made);
  expect(await page('?cursor=999999999')).toContain('<h1>Instances</h1>');
  for (const query of ['?cursor=-1', '?cursor=x', '?cursor=1&cursor=2']) {
    expect(await page(query)).toContain('query parameter cursor');
  }
});

test('ending an instance adds a kill job for its host, and a worker finishes it', async () => {
  const { id } = await fixture.startInstance('host-a');
  const end = () => postForm(`${fixture.url}/dashboard/instances/${id}/end`, {}, { cookie });
  const answer = await end();
  expect(answer.headers.get('location')).toBe(`/dashboard/instances?ending=${id}`);
  expect(await page()).toContain('draining');
  // A second submit from an older page changes nothing.
  expect((await end()).headers.get('location')).toBe(`/dashboard/instances?ending=${id}`);
  fixture.workKills('host-a');
  await waitFor('the tombstone', async () => (await fixture.instances.get(id))?.state === 'gone');
  expect((await end()).headers.get('location')).toBe(`/dashboard/instances?absent=${id}`);
  expect(await page()).not.toContain(id);
});

test.each(['..', 'x', '%00', 'A'.repeat(26), '%3Cscript%3E'])(
  '%s is refused as an instance to end',
  async (id) => {
    const answer = await fetch(`${fixture.url}/dashboard/instances/${id}/end`, {
      method: 'POST',
      headers: BEARER,
    });
    expect(answer.status).toBe(404);
  },
);

test('a host without heartbeats is shown as unavailable', async () => {
  await fixture.hosts.heartbeat('host-here', await fixture.instances.now());
  await fixture.hosts.heartbeat('host-late', (await fixture.instances.now()) - 60_000);
  const text = (await page()).replace(/\s+/g, ' ');
  expect(text).toMatch(/alive<\/span> <strong>host-here/);
  expect(text).toMatch(
    /unavailable<\/span> <strong>host-late<\/strong> <span class="soft">last heartbeat 1m/,
  );
});

test('a notice in the URL shows valid ids only', async () => {
  expect(await page('?ending=%3Cb%3Ehello')).not.toContain('hello');
  expect(await page(`?absent=${'a'.repeat(26)}`)).toContain('had ended already');
});

test('the errors of the configuration file are shown, and in /readyz, while it stays ready', async () => {
  onTestFinished(() => void configIssues.splice(0));
  expect(await page()).not.toContain('The configuration file has errors');
  configIssues.push({ path: 'templates.a.port', line: 3, detail: 'give either <port> or ports' });
  expect(await page()).toContain('The configuration file has errors');
  expect(await page()).toContain('templates.a.port: give either &lt;port&gt; or ports (line 3)');
  const readyz = await fetch(`${fixture.url}/readyz`);
  expect([readyz.status, await readyz.json()]).toEqual([
    200,
    {
      ready: true,
      parts: { redis: true, running: true },
      config: { isCurrent: false, issues: configIssues },
    },
  ]);
});

test('a host can be cordoned, drained and used again from the page', async () => {
  const now = Date.now();
  const hosts = redisHosts(fixture.redis, keysOf('dashboardtest'));
  await hosts.heartbeat('h1', now);
  const change = (action: string, host = 'h1') =>
    postForm(`${fixture.url}/dashboard/hosts/${host}/${action}`, {}, { cookie });
  const labels = async () =>
    [...(await page()).matchAll(/id="(?:cordon|drain|uncordon)-h1">\s*([\w ]+)</g)].map(
      (m) => m[1],
    );
  expect(await labels()).toEqual(['Cordon', 'Drain']);

  expect((await change('cordon')).status).toBe(303);
  expect(await hosts.cordonOf('h1')).not.toHaveProperty('drain');
  expect(await page('?changedHost=h1')).toMatch(
    /The host <code>h1<\/code> was changed[^]*>cordoned</,
  );
  expect(await labels()).toEqual(['Drain', 'Use again']);

  await change('drain');
  expect(await hosts.cordonOf('h1')).toHaveProperty('drain', { isEmpty: false });
  expect(await page()).toContain('>draining, 0 left<');
  expect(await labels()).toEqual(['Use again']);
  await hosts.reportEmpty('h1', true);
  expect(await page()).toContain('>drained<');
  // A page that is older than another operator's drain must not end it.
  await hosts.drain('h1', now + 60_000);
  for (const action of ['cordon', 'drain']) {
    const { status, headers } = await change(action);
    expect([status, headers.get('location')]).toEqual([303, '/dashboard/instances?unchanged=h1']);
  }
  expect(await page('?unchanged=h1')).toContain('The host <code>h1</code> was not changed');
  expect(await hosts.cordonOf('h1')).toMatchObject({ drain: { deadline: now + 60_000 } });
  const locationOf = async (action: string) => (await change(action)).headers.get('location');
  expect(await locationOf('uncordon')).toBe('/dashboard/instances?changedHost=h1');
  expect(await hosts.cordonOf('h1')).toBeUndefined();
  expect(await locationOf('uncordon')).toBe('/dashboard/instances?unchanged=h1');

  expect((await change('cordon', 'nobody')).status).toBe(404);
  expect((await change('remove')).status).toBe(404);
});
