import { expect, test } from 'vitest';
import type { Bench } from './bench.ts';
import { compare, interleave, spreadOf } from './rounds.ts';

const bench: Bench = {
  dir: '',
  redisUrl: '',
  instances: [],
  largePorts: {},
  rounds: 3,
  seconds: 1,
  until: Infinity,
  say: () => undefined,
};

test('each round starts with another contender', async () => {
  const turns: string[] = [];
  const entry = (name: string) => ({
    name,
    measure: () => Promise.resolve({ turn: turns.push(name) }),
  });
  const series = await interleave(bench, ['a', 'b', 'c'].map(entry));
  expect(turns.join('')).toBe('abcbcacab');
  expect(series.get('b')).toEqual([{ turn: 2 }, { turn: 4 }, { turn: 9 }]);
});

test('no round starts after the time limit', async () => {
  const measure = () => Promise.reject(new Error('measured'));
  const series = await interleave({ ...bench, until: 0 }, [{ name: 'a', measure }]);
  expect(series.get('a')).toEqual([]);
});

test('the median of an even count is the mean of the two middle values', () => {
  expect(spreadOf([9, 1, 4, 2])).toEqual({ median: 3, min: 1, max: 9, rounds: 4 });
});

test('a ratio compares the medians and has its range over the rounds', () => {
  const series = new Map([
    ['ours', [{ speed: 30 }, { speed: 20 }, { speed: 10 }]],
    ['theirs', [{ speed: 10 }, { speed: 10 }, { speed: 20 }]],
  ]);
  expect(compare(series, ['ours', 'theirs'], 'speed', { atLeast: 2 })).toEqual({
    figure: 'speed',
    against: 'theirs',
    ratio: 2,
    lowest: 0.5,
    highest: 3,
    reach: '≥ 2',
    isReached: true,
  });
  expect(compare(series, ['ours', 'theirs'], 'speed', { atMost: 1.5 }).isReached).toBe(false);
});
