import { sampleTemplate } from '@ephemera/test-support';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { BEARER, type OpenPorts, openPorts } from './open-ports.ts';

// `DELETE /v1/instances` ends exactly the instances that its filters match.

let ports: OpenPorts;
beforeAll(async () => {
  ports = await openPorts('templates: { a: { image: ephemera/demo, port: 8080 } }');
});
afterAll(() => ports.stop());

const end = async (query: string) => {
  const answer = await fetch(`${ports.adminUrl}/v1/instances${query}`, {
    method: 'DELETE',
    headers: BEARER,
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
};

const alive = async () => {
  const { items } = await ports.instances.list({ cursor: 0, limit: 1_000, state: ['ready'] });
  return items.map(({ id }) => id).sort();
};

beforeEach(() => ports.clear());

test.each([
  ['?template=b', 2],
  ['?template=a,b', 3],
  ['?metadata=user%3Dann', 2],
  ['?template=b&metadata=user%3Dann', 1],
  ['?state=ready&template=a', 1],
  ['?state=paused', 0],
  ['?template=never', 0],
])('%s ends %i', async (query, expected) => {
  // A template that is no longer configured; its instances can still be ended by its name.
  const b = sampleTemplate({ name: 'b' });
  await ports.startInstance({ template: sampleTemplate({ name: 'a' }), metadata: { user: 'ann' } });
  await ports.startInstance({ template: b, metadata: { user: 'ann' } });
  await ports.startInstance({ template: b, metadata: { user: 'bob' } });
  expect(await end(query)).toEqual({ status: 202, body: { ended: expected } });
  expect(await alive()).toHaveLength(3 - expected);
});

test('ends more than one page', async () => {
  const b = sampleTemplate({ name: 'b' });
  const kept = await ports.startInstance({ template: sampleTemplate({ name: 'a' }) });
  await Promise.all(Array.from({ length: 120 }, () => ports.startInstance({ template: b })));
  expect((await end('?template=b')).body).toEqual({ ended: 120 });
  expect(await alive()).toEqual([kept]);
});

test.each([
  ['?tempalte=a', /query parameter tempalte: unknown.*state, template, metadata/],
  ['?template=', /query parameter template: must be comma-separated/],
  ['?template=a&template=b', /query parameter template: given 2 times/],
  ['?metadata=user', /query parameter metadata\.0: must be key=value/],
  ['?metadata=u%3Da&metadata=u%3Db', /query parameter metadata: contains a key twice/],
  ['?state=gone', /query parameter state.*must be among/],
  ['?limit=1', /query parameter limit: unknown/],
  ['?x=1&state=gone&y=2', /parameter x: .*parameter y: .*parameter state/],
])('%s ends nothing', async (query, detail) => {
  const kept = await ports.startInstance();
  const refused = await end(query);
  expect(refused.status).toBe(400);
  expect(refused.body['detail']).toMatch(detail);
  expect(await alive()).toEqual([kept]);
});

test('ends all instances without a filter', async () => {
  await ports.startInstance();
  await ports.startInstance({ template: sampleTemplate({ name: 'b' }) });
  expect(await end('')).toEqual({ status: 202, body: { ended: 2 } });
  expect(await alive()).toEqual([]);
});
