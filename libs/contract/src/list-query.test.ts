import { expect, test } from 'vitest';
import { listQueryOf, listQuerySchema } from './list-query.ts';

const read = (query: string) => listQuerySchema.safeParse(listQueryOf(new URLSearchParams(query)));

test('begins at the beginning, a hundred at a time', () => {
  expect(read('').data).toEqual({ limit: 100, cursor: 0 });
});

test('takes a cursor, a limit and filters', () => {
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
  'page=2',
])('refuses %s', (query) => {
  expect(read(query).success).toBe(false);
});
