import { Redis } from 'ioredis';
import { keysOf, redisIntake, redisLogArchive } from '@ephemera/store';
import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { CREATOR, HTML, READER, openDashboard, signIn } from './fixture.ts';
import type { Fixture } from './fixture.ts';

let fixture: Fixture;
let cookie: string;
let observer: Redis;

beforeAll(async () => {
  fixture = await openDashboard();
  cookie = await signIn(fixture.url);
  observer = new Redis(fixture.store.url);
});
afterAll(async () => {
  observer.disconnect();
  await fixture.stop();
});
beforeEach(async () => {
  await fixture.redis.flushall();
});

const page = async (path: string, as = cookie) => {
  const url = `${fixture.url}/dashboard/${path}`;
  const answer = await fetch(url, { headers: { ...HTML, cookie: as } });
  return (await answer.text()).replace(/\s+/g, ' ');
};
const idsOn = (text: string) =>
  [...text.matchAll(/<th scope="row"> <a href="\/dashboard\/instances\/(\w+)"/g)].map((m) => m[1]);
const list = async (query: string) => idsOn(await page(`instances${query}`));

async function end(id: string, reason: 'exited' | 'request', message = '') {
  await fixture.instances.startDraining(id, reason, message);
  const { generation = 0 } = (await fixture.instances.get(id)) ?? {};
  await fixture.instances.finalize(id, generation);
}

test('the list is searched by id, state, template, host and metadata, and sorted', async () => {
  const demo = await fixture.startInstance('host-a', { metadata: { branch: 'main', pr: '7=8' } });
  const shop = await fixture.startInstance('host-b', {
    template: sampleTemplate({ name: 'shop', timeout: 600_000 }),
    timeout: 600_000,
  });
  const draft = await fixture.draftInstance({ metadata: { branch: 'main' } });
  expect(await list('?state=ready')).toEqual([demo.id, shop.id]);
  expect(await list('?state=pending&template=&host=&id=&meta=')).toEqual([draft.id]);
  expect(await list('?template=shop')).toEqual([shop.id]);
  expect(await list('?host=host-a')).toEqual([demo.id]);
  expect(await list(`?id=${shop.id.slice(0, 10)}`)).toEqual([shop.id]);
  expect(await list('?meta=branch%3Dmain')).toEqual([demo.id, draft.id]);
  expect(await list('?meta=pr%3D7%3D8')).toEqual([demo.id]);
  expect(await list('?meta=branch%3Dmain&host=host-a')).toEqual([demo.id]);
  expect(await list(`?meta=branch%3Dmain&id=${draft.id}`)).toEqual([draft.id]);
  expect(await list('?order=newest')).toEqual([draft.id, shop.id, demo.id]);
  expect(await list('?order=deadline&state=ready')).toEqual([shop.id, demo.id]);
  const none = await page('instances?host=host-c');
  expect(none).toContain('No live instance on this page matches.');
  // The form keeps what was asked for.
  expect(await page('instances?host=host-a&state=ready')).toMatch(
    /<option value="ready" selected>.*name="host" value="host-a"/,
  );
  for (const query of ['state=gone', 'meta=branch', 'id=%3Cb%3E', 'order=x', 'offset=-1', 'q=1']) {
    const url = `${fixture.url}/dashboard/instances?${query}`;
    expect([query, (await fetch(url, { headers: { cookie } })).status]).toEqual([query, 400]);
  }
});

test('a search by metadata says that it lists the oldest first, whatever the order asked for', async () => {
  const first = await fixture.draftInstance({ metadata: { branch: 'main' } });
  const last = await fixture.draftInstance({ metadata: { branch: 'main' } });
  for (const order of ['newest', 'deadline']) {
    const text = await page(`instances?meta=branch%3Dmain&order=${order}`);
    expect(idsOn(text)).toEqual([first.id, last.id]);
    expect(text).toContain('A search by metadata lists the oldest instances first.');
    expect(text).not.toMatch(/<option value="\w+" selected/);
  }
  expect(await page('instances?order=newest')).not.toContain('A search by metadata');
});

test('a page that searches refreshes itself less often', async () => {
  const refreshes = async (query: string) =>
    Number(/id="live" data-refresh="(\d+)"/.exec(await page(`instances${query}`))?.[1]);
  for (const query of ['', '?order=oldest', '?order=newest&state=&id=']) {
    expect([query, await refreshes(query)]).toEqual([query, 5]);
  }
  const searches = ['id=a', 'state=ready', 'template=a', 'host=a', 'meta=a%3Db', 'order=deadline'];
  for (const query of searches) expect([query, await refreshes(`?${query}`)]).toEqual([query, 30]);
});

test('the pages of a search list every match once, and keep its filter', async () => {
  const made = new Set<string>();
  for (let i = 0; i < 60; i++) made.add((await fixture.draftInstance()).id);
  const first = await page('instances?state=pending&order=newest');
  expect(first).toContain('60 instances match.');
  const href = /href="\/dashboard\/instances(\?[^"]+)" rel="next"/.exec(first)?.[1] ?? '';
  const query = href.replaceAll('&amp;', '&');
  expect(query).toBe('?state=pending&order=newest&offset=50');
  const second = await page(`instances${query}`);
  expect(new Set([...idsOn(first), ...idsOn(second)])).toEqual(made);
  expect(second).not.toContain('rel="next"');
});

test('selected instances are extended and ended, those of others are left', async () => {
  const change = (action: string, ids: readonly string[], as = cookie) => {
    const body = new URLSearchParams([['action', action], ...ids.map((id) => ['id', id])]);
    return fetch(`${fixture.url}/dashboard/instances`, {
      method: 'POST',
      redirect: 'manual',
      headers: { ...HTML, origin: fixture.url, cookie: as },
      body,
    });
  };
  const many = [];
  for (let i = 0; i < 50; i++) many.push((await fixture.startInstance('host-a')).id);
  const { expiresAt = 0 } = (await fixture.instances.get(many[0] ?? '')) ?? {};
  const extended = await change('extend', many);
  expect(extended.headers.get('location')).toBe('/dashboard/instances?changed=50&skipped=0');
  expect((await fixture.instances.get(many[0] ?? ''))?.expiresAt).toBe(expiresAt + 3_600_000);
  expect((await change('end', [...many, 'a'.repeat(26)])).status).toBe(400);

  const intake = redisIntake(fixture.redis, keysOf('dashboardtest'));
  const quotaOwner = { name: 'token:ci', limit: 'token', max: undefined } as const;
  const made = await intake.createOrQueue(sampleDraft(), { quotaOwner });
  if (made.kind !== 'created') throw new Error(made.kind);
  const own = made.instance.id;
  const [other = ''] = many;
  const creator = await signIn(fixture.url, CREATOR);
  const ended = await change('end', [own, other], creator);
  expect(ended.headers.get('location')).toBe('/dashboard/instances?changed=1&skipped=1');
  expect(await fixture.instances.get(own)).toMatchObject({ state: 'gone' });
  expect(await fixture.instances.get(other)).toMatchObject({ state: 'ready' });
  expect(await page('instances?changed=1&skipped=1')).toContain('1 instance was changed, 1 not');
  expect((await change('end', [other], await signIn(fixture.url, READER))).status).toBe(403);
  expect((await change('end', [other])).status).toBe(303);
  expect(await fixture.instances.get(other)).toMatchObject({ state: 'draining' });
  expect((await change('end', ['x'])).status).toBe(400);
  expect((await change('else', [other])).status).toBe(400);
  expect((await change('end', [])).headers.get('location')).toBe(
    '/dashboard/instances?changed=0&skipped=0',
  );
});

test('where the change of one selected instance fails, the others are changed and the page names it', async () => {
  const keys = keysOf('dashboardtest');
  const broken = await fixture.startInstance('host-a');
  const intact = await fixture.startInstance('host-a');
  const ended = 'a'.repeat(26);
  const change = (ids: readonly string[]) =>
    fetch(`${fixture.url}/dashboard/instances`, {
      method: 'POST',
      redirect: 'manual',
      headers: { ...HTML, origin: fixture.url, cookie },
      body: new URLSearchParams([['action', 'end'], ...ids.map((id) => ['id', id])]),
    });
  // Redis answers WRONGTYPE to each command for this instance.
  await fixture.redis.set(keys.instance(broken.id), 'no hash');
  fixture.clearLog();
  const answer = await change([broken.id, intact.id, ended]);
  const query = `?changed=1&skipped=1&failed=${broken.id}`;
  expect([answer.status, answer.headers.get('location')]).toEqual([
    ...[303, `/dashboard/instances${query}`],
  ]);
  expect(await fixture.instances.get(intact.id)).toMatchObject({ state: 'draining' });
  expect((await change([broken.id])).status).toBe(500);
  const lines = fixture.log.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines.filter(({ msg }) => msg === 'administrative act')).toMatchObject([
    {
      ...{ action: 'instance.end', by: 'admin', result: 'done' },
      ...{ ids: [intact.id], unchangedIds: [ended], failedIds: [broken.id] },
    },
    { action: 'instance.end', ids: [], failedIds: [broken.id], status: 500, result: 'failed' },
  ]);
  expect(lines.filter(({ err }) => err !== undefined)).toContainEqual(
    expect.objectContaining({ id: broken.id, msg: 'change of a selected instance failed' }),
  );
  await fixture.redis.del(keys.instance(broken.id));
  expect(await page(`instances${query}`)).toMatch(
    new RegExp(`1 instance was changed, 1 not: .* These failed .*<code>${broken.id}</code>`),
  );
});

test('only what a token may change has forms', async () => {
  await fixture.startInstance('host-a');
  const reader = await page('instances', await signIn(fixture.url, READER));
  expect(reader).not.toMatch(/type="checkbox" form|\/end"|\/cordon"|id="bulk"/);
  expect(await page('instances')).toMatch(/type="checkbox" form.*\/end".*\/cordon"/);
});

test('ended instances are listed with reason, hint and last lines of the log', async () => {
  const archive = redisLogArchive(fixture.redis, keysOf('dashboardtest'), 60_000);
  const exited = await fixture.startInstance('host-a');
  const time = '2030-01-01T00:00:00.000000000Z';
  const lines = Array.from({ length: 12 }, (_, i) => `line <${i}>\n`);
  await archive.save(
    exited.id,
    lines.map((text) => ({ time, stream: 'stdout', text })),
  );
  await end(exited.id, 'exited', 'It exited with 1.');
  const ended = await fixture.startInstance('host-a', {
    template: sampleTemplate({ name: 'shop' }),
  });
  await end(ended.id, 'request');
  const all = await page('ended');
  expect(all.indexOf(ended.id)).toBeLessThan(all.indexOf(exited.id));
  expect(all).toContain('It exited with 1.');
  expect(all).toContain('Last 10 lines of the log');
  expect(all).toContain('line &lt;11&gt; </code>');
  expect(all).not.toContain('line &lt;1&gt;');
  expect(await page('ended?reason=exited')).not.toContain(ended.id);
  expect(await page('ended?template=shop&reason=')).not.toContain(exited.id);
  const url = `${fixture.url}/dashboard/ended?before=x`;
  expect((await fetch(url, { headers: { cookie } })).status).toBe(400);
});

test('ended instances are paged', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 30; i++) {
    const { id } = await fixture.draftInstance();
    await end(id, 'request');
    ids.unshift(id);
  }
  const idsOf = (text: string) =>
    [...text.matchAll(/href="\/dashboard\/instances\/(\w{20,})"/g)].map((m) => m[1]);
  const first = await page('ended');
  const next = /href="\/dashboard\/(ended\?[^"]+)" rel="next"/.exec(first)?.[1] ?? '';
  expect([...idsOf(first), ...idsOf(await page(next.replaceAll('&amp;', '&')))]).toEqual(ids);
});

/** Commands that Redis executes for a page, including those of scripts. */
async function commandsOf(path: string): Promise<number> {
  const total = async () => {
    const text = await observer.info('commandstats');
    const counts = [...text.matchAll(/^cmdstat_(?!info)\S+?:calls=(\d+)/gm)];
    return counts.reduce((sum, [, calls]) => sum + Number(calls), 0);
  };
  const before = await total();
  await page(path);
  return (await total()) - before;
}

// Instances are written directly: 10,000 creations would take minutes.
test('a page needs about as many commands of Redis with 10,000 instances as with 100', async () => {
  const keys = keysOf('dashboardtest');
  const seed = async (count: number): Promise<void> => {
    await fixture.redis.flushall();
    const { id } = await fixture.startInstance('host-a');
    const hash = await fixture.redis.hgetall(keys.instance(id));
    const version = (await fixture.redis.hget(keys.hostInstances('host-a'), id)) ?? '';
    const write = fixture.redis.pipeline();
    for (let i = 1; i < count; i++) {
      const copy = `${id.slice(0, 20)}${String(i).padStart(6, '0')}`;
      write.hset(keys.instance(copy), { ...hash, id: copy });
      write.hset(keys.hostInstances('host-a'), copy, version);
      write.zadd(keys.instances, Number(hash['generation']) + i, copy);
      write.sadd(keys.templateInstances('demo'), copy);
    }
    await write.exec();
  };
  const paths = [
    ...['instances', 'instances?state=ready', 'instances?host=host-a&order=deadline'],
    ...['instances?template=demo', 'instances?order=newest', 'instances?offset=50', 'ended'],
  ];
  await page('instances');
  await seed(100);
  const few = new Map<string, number>();
  for (const path of paths) few.set(path, await commandsOf(path));
  await seed(10_000);
  for (const path of paths) {
    const many = await commandsOf(path);
    expect([path, many <= 1.5 * (few.get(path) ?? 0)]).toEqual([path, true]);
  }
  expect(await page('instances?order=newest')).toContain('10000 instances match.');
  expect(await page('instances?state=ready')).toMatch(
    /20\d\d instances match. There are too many instances to search all./,
  );
  expect(await page('instances?host=host-a')).toContain('The host has too many instances');
});

test('events are listed with the latest first, by type and template', async () => {
  const demo = await fixture.startInstance('host-a');
  const shop = await fixture.startInstance('host-a', {
    template: sampleTemplate({ name: 'shop' }),
  });
  await end(shop.id, 'exited', 'It exited with <1>.');
  const rows = (text: string) =>
    [
      ...text.matchAll(
        /class="state (\w+)">\w+<\/span><\/td> <th scope="row"> ?<a href="\/dashboard\/instances\/(\w+)"/g,
      ),
    ].map(([, type, id]) => `${type} ${id}`);
  const all = await page('events');
  expect(rows(all).slice(0, 2)).toEqual([`gone ${shop.id}`, `draining ${shop.id}`]);
  expect(rows(all).at(-1)).toBe(`pending ${demo.id}`);
  expect(all).toContain('It exited with &lt;1&gt;.');
  expect(rows(await page('events?type=ready'))).toEqual([`ready ${shop.id}`, `ready ${demo.id}`]);
  expect(rows(await page('events?type=ready&template=demo'))).toEqual([`ready ${demo.id}`]);
  expect(await page('events?template=none')).toContain('No event on this page matches.');
});
