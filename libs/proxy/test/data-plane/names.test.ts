import type { NameRoute, Route } from '@ephemera/domain';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeAccessToken } from '../../src/access/access-token.ts';
import { type Fixture, newGeneration, newId, startFixture } from './fixture.ts';
import { send, statusOf } from './raw.ts';
import { answering, OK, startUpstream, type Upstream } from './upstream.ts';

// A stable name is resolved to an id. Then the rules for that id hold.

const DOMAIN = 'inst.test';

let fixture: Fixture;
let hosted: Fixture;
let upstream: Upstream;
beforeAll(async () => {
  fixture = await startFixture({ startWait: 20_000 });
  hosted = await startFixture({ domain: DOMAIN, hostNames: { except: `www.${DOMAIN}` } });
  upstream = await startUpstream(answering(OK));
});
afterAll(async () => {
  await fixture.stop();
  await hosted.stop();
  await upstream.stop();
});

let count = 0;
/** Lets a new name lead to an id. Returns the name and a function that moves it. */
async function nameOf(id: string, more: Partial<NameRoute> = {}, where = fixture) {
  const name = `pr-${++count}`;
  const move = async (to: string): Promise<void> => {
    const route: NameRoute = { state: 'name', generation: newGeneration(), id: to, ...more };
    await where.redis.set(where.keys.route(`@${name}`), JSON.stringify(route));
  };
  await move(id);
  return { name, move };
}

const ask = (target: string, lines = '', method = 'GET') =>
  send(fixture.port, `${method} ${target} HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`);
const askHost = (label: string, target: string, lines = '') =>
  send(hosted.port, `GET ${target} HTTP/1.1\r\nHost: ${label}.${DOMAIN}\r\n${lines}\r\n`);
const header = (name: string, answer: string) =>
  [...answer.matchAll(new RegExp(`^${name}: (.*)\r$`, 'gim'))].map(([, value]) => value);

const end = (id: string): Promise<void> =>
  fixture.put(id, { state: 'gone', generation: newGeneration(), reason: 'ttl' });

test('a name costs one read more when it is cold, and none when it is warm', async () => {
  const { name } = await nameOf(await fixture.ready(upstream.port));
  expect(statusOf(await ask(`/demo/@${name}/`))).toBe(200);
  const { misses } = fixture.routes.counts;
  for (let i = 0; i < 5; i++) expect(statusOf(await ask(`/demo/@${name}/`))).toBe(200);
  expect(fixture.routes.counts.misses).toBe(misses);
});

test('a name that does not exist is 404, and one whose instance has ended is 410', async () => {
  expect(statusOf(await ask('/demo/@no-such-name/'))).toBe(404);
  const id = newId();
  await end(id);
  const { name } = await nameOf(id);
  expect(statusOf(await ask(`/demo/@${name}/`))).toBe(410);
  // The tombstone of the instance is gone before the name is.
  const forgotten = await nameOf(newId(), { ended: 'idle' });
  const answer = await ask(`/demo/@${forgotten.name}/`);
  expect(statusOf(answer)).toBe(410);
  expect(answer).toContain('"reason":"idle"');
  expect(statusOf(await ask(`/demo/@${(await nameOf(newId())).name}/`))).toBe(404);
});

test('a request that waits for an instance follows its name to the next one', async () => {
  const starting = newId();
  await fixture.put(starting, { state: 'pending', generation: newGeneration() });
  const { name, move } = await nameOf(starting);
  const waiting = ask(`/demo/@${name}/`);
  await waitFor('the wait', () => fixture.routes.peek(starting) !== undefined);
  await move(await fixture.ready(upstream.port));
  await fixture.put(starting, { state: 'gone', generation: newGeneration(), reason: 'replaced' });
  expect(statusOf(await waiting)).toBe(200);
});

test('a name that has moved is read again, although its old route is still in memory', async () => {
  const { routes, redis, keys } = fixture;
  const ended = newId();
  const next = await fixture.ready(upstream.port);
  // As if the push that the name has moved were late.
  const late = await startFixture({
    routes: {
      peek: (id) => routes.peek(id),
      find: (id) => routes.find(id),
      confirm: (id, host) => routes.confirm(id, host),
      waitFor: (...args) => routes.waitFor(...args),
      isRegistered: (host, endpoint) => routes.isRegistered(host, endpoint),
      onDrop: () => undefined,
      peekName: () => ({ state: 'name', generation: 1, id: ended }),
      findName: () => Promise.resolve({ state: 'name', generation: 1, id: ended }),
      confirmName: (name) => routes.confirmName(name),
    },
  });
  try {
    const { name } = await nameOf(next);
    const route: Route = { state: 'draining', generation: newGeneration(), reason: 'replaced' };
    await redis.set(keys.route(ended), JSON.stringify(route));
    const get = () => send(late.port, `GET /demo/@${name}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(statusOf(await get())).toBe(200);
  } finally {
    await late.stop();
  }
});

test('a guarded instance is guarded under its name, with cookies for the name', async () => {
  const { token, hash } = makeAccessToken();
  const id = await fixture.ready(upstream.port, { access: hash, ports: { web: 80, api: 81 } });
  const { name } = await nameOf(id);
  expect(statusOf(await ask(`/demo/@${name}/`))).toBe(403);
  const wrong = makeAccessToken().token;
  expect(statusOf(await ask(`/demo/@${name}/`, `Ephemera-Token: ${wrong}\r\n`))).toBe(403);
  const linked = await ask(`/demo/@${name}/a?ephemera-token=${token}`);
  expect(statusOf(linked)).toBe(303);
  expect(header('location', linked)).toEqual([`/demo/@${name}/a`]);
  const paths = header('set-cookie', linked).map(
    (cookie) => /Path=([^;]+)/.exec(cookie ?? '')?.[1],
  );
  expect(paths).toEqual([
    `/demo/@${name}`,
    `/demo/-/${id}`,
    `/demo/@${name}:web`,
    `/demo/@${name}:api`,
  ]);

  const there = await hosted.ready(upstream.port, { access: hash });
  const host = await nameOf(there, {}, hosted);
  expect(statusOf(await askHost(host.name, '/'))).toBe(403);
  const opened = await askHost(host.name, `/a?ephemera-token=${token}`);
  expect([statusOf(opened), header('location', opened)]).toEqual([303, ['/a']]);
  const cookie = `Cookie: ephemera-token=${token}\r\n`;
  expect(statusOf(await askHost(host.name, '/a', cookie))).toBe(200);
});

test('the token of the next instance opens it, although the route before it is in memory', async () => {
  const [before, after] = [makeAccessToken(), makeAccessToken()];
  const id = await fixture.ready(upstream.port, { access: before.hash });
  const { name, move } = await nameOf(id);
  const get = (token: string) => ask(`/demo/@${name}/`, `Ephemera-Token: ${token}\r\n`);
  expect(statusOf(await get(before.token))).toBe(200);
  await move(await fixture.ready(upstream.port, { access: after.hash }));
  expect(statusOf(await get(after.token))).toBe(200);
  await expect.poll(async () => statusOf(await get(before.token))).toBe(403);
});

test('with a domain, the path form of a name redirects to its host form', async () => {
  const id = await hosted.ready(upstream.port);
  const { name } = await nameOf(id, {}, hosted);
  const to = async (path: string) =>
    header('location', await send(hosted.port, `GET ${path} HTTP/1.1\r\nHost: a.example\r\n\r\n`));
  expect(await to(`/demo/@${name}/a?b`)).toEqual([`http://${name}.${DOMAIN}/a?b`]);
  expect(await to(`/demo/@${name}:api/a`)).toEqual([`http://api--${name}.${DOMAIN}/a`]);
  expect(statusOf(await askHost(name, '/a'))).toBe(200);
  expect(statusOf(await askHost('www', '/a'))).toBe(404);
});

test('addresses of an instance are translated below its name', async () => {
  const redirecting = await startUpstream(
    answering(
      'HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n',
    ),
  );
  try {
    const { name } = await nameOf(await fixture.ready(redirecting.port));
    const answer = await ask(`/demo/@${name}/x`);
    expect(header('location', answer)).toEqual([`/demo/@${name}/login`]);
    expect(header('set-cookie', answer)).toEqual([`a=1; Path=/demo/@${name}/`]);
    expect(redirecting.received).toContain(`x-forwarded-prefix: /demo/@${name}\r\n`);
  } finally {
    await redirecting.stop();
  }
});

test('a visit to a name whose instance has ended may start it, once per request', async () => {
  const visits: object[] = [];
  /** Where each name leads after a visit. Undefined: the visit is refused. */
  const next = new Map<string, string | undefined>();
  const visited = await startFixture({
    startOnVisit: async (_req, name, visit) => {
      visits.push({ name, ...visit });
      const id = next.get(name);
      if (id === undefined) {
        return { kind: 'refused', failure: { kind: 'store_unavailable' } };
      }
      await lead(name, id);
      return { kind: 'changed' };
    },
  });
  const lead = async (name: string, id: string, more: Partial<NameRoute> = {}) => {
    const route: NameRoute = { state: 'name', generation: newGeneration(), id, ...more };
    await visited.redis.set(visited.keys.route(`@${name}`), JSON.stringify(route));
    return route.generation;
  };
  const get = async (name: string) =>
    statusOf(await send(visited.port, `GET /demo/@${name}/ HTTP/1.1\r\nHost: a\r\n\r\n`));
  const ended = newId();
  await visited.put(ended, { state: 'gone', generation: newGeneration(), reason: 'idle' });
  const starts = { startsOnVisit: true };
  try {
    await lead('plain', ended);
    expect(await get('plain')).toBe(410);
    expect(visits).toEqual([]);

    next.set('asleep', await visited.ready(upstream.port));
    const generation = await lead('asleep', ended, starts);
    expect(await get('asleep')).toBe(200);
    expect(visits).toEqual([{ name: 'asleep', generation, isShared: true }]);
    expect(await get('asleep')).toBe(200);
    expect(visits).toHaveLength(1);

    // The record of the instance has expired.
    next.set('forgotten', await visited.ready(upstream.port));
    await lead('forgotten', newId(), { ...starts, ended: 'ttl' });
    expect(await get('forgotten')).toBe(200);

    await lead('full', ended, starts);
    expect(await get('full')).toBe(503);

    // An instance that ends at once is no reason for another visit of the same request.
    next.set('brief', ended);
    await lead('brief', ended, starts);
    expect(await get('brief')).toBe(410);
    expect(visits).toHaveLength(4);
  } finally {
    await visited.stop();
  }
});
