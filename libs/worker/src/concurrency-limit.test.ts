import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { limitConcurrency } from './concurrency-limit.ts';

test('calls beyond the limit wait in order, and `last` calls run after all others', async () => {
  const through = limitConcurrency(2);
  const startedNames: string[] = [];
  const finish = new Map<string, () => void>();
  const work = (name: string, last?: 'last') =>
    through(() => {
      startedNames.push(name);
      return new Promise<void>((resolve) => finish.set(name, resolve));
    }, last);
  const all = [work('a'), work('b'), work('pool', 'last'), work('c'), work('d')];
  for (const name of ['a', 'b', 'c', 'd', 'pool']) {
    await turn();
    finish.get(name)?.();
  }
  await Promise.all(all);
  expect(startedNames).toEqual(['a', 'b', 'c', 'd', 'pool']);
});

test('failed work frees its slot', async () => {
  const through = limitConcurrency(1);
  const failed = through(() => Promise.reject(new Error('no')));
  await expect(failed).rejects.toThrow('no');
  expect(await through(() => Promise.resolve(7))).toBe(7);
});
