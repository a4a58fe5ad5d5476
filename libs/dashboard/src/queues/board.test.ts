import { expect, test } from 'vitest';
import { jobName, shownData, shownResult } from './board.ts';

test('a job shows its object, and a kill its due time', () => {
  const data = { id: 'abc', generation: 3, dueAt: '2030-01-01T00:00:00.000Z' };
  expect(jobName({ name: 'kill', data })).toBe('kill · abc · due 2030-01-01T00:00:00.000Z');
  expect(jobName({ name: 'spawn', data: { id: 'abc', generation: 3 } })).toBe('spawn · abc');
  expect(jobName({ name: 'refill', data: { template: 'demo' } })).toBe('refill · demo');
});

test('other fields of a job are not shown', () => {
  const data = { id: 'abc', generation: 3, env: { SECRET: 'x' }, token: 'y' };
  expect(shownData(data)).toEqual({ id: 'abc', generation: 3 });
  expect(shownData('text')).toEqual({});
  expect(shownResult({ kind: 'ready', address: '10.0.0.1' })).toEqual({ kind: 'ready' });
  expect(shownResult(null)).toBeNull();
});
