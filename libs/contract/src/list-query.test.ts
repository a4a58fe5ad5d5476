import { expect, test } from 'vitest';
import { instanceFilterSchema, listQuerySchema } from './list-query.ts';

const read = (query: string) => {
  const input = new URLSearchParams(query);
  const metadata = input.getAll('metadata');
  return listQuerySchema.safeParse({
    ...Object.fromEntries(input),
    ...(metadata.length > 0 && { metadata }),
  });
};

test('defaults to the first page of 100', () => {
  expect(read('').data).toEqual({ limit: 100, cursor: 0 });
});

test('accepts a cursor, a limit and filters', () => {
  expect(read('limit=5&cursor=42&state=ready,pending&template=demo,ide').data).toEqual({
    limit: 5,
    cursor: 42,
    state: ['ready', 'pending'],
    template: ['demo', 'ide'],
  });
  expect(read('metadata=user%3Dann&metadata=team%3Da%3Db').data).toMatchObject({
    metadata: { user: 'ann', team: 'a=b' },
  });
});

test.each([
  'limit=0',
  'limit=1001',
  'limit=1.5',
  'limit=all',
  'cursor=-1',
  'cursor=x',
  'cursor=1234567890123456',
  'state=gone',
  'metadata=user',
  'metadata=%3Dx',
  'metadata=user%3Dann&metadata=user%3Dbob',
  'template=',
  'template=demo,',
  'page=2',
])('refuses %s', (query) => {
  expect(read(query).success).toBe(false);
});

test('a bulk end accepts the filters of a list, but no limit', () => {
  expect(instanceFilterSchema.parse({})).toEqual({});
  expect(instanceFilterSchema.parse({ template: 'a,b', metadata: ['user=ann'] })).toEqual({
    template: ['a', 'b'],
    metadata: { user: 'ann' },
  });
  expect(instanceFilterSchema.safeParse({ limit: '5' }).success).toBe(false);
});
