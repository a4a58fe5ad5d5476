import { expect, test } from 'vitest';
import { createLogReads } from './log-reads.ts';

const read = { by: 'ci', address: '192.0.2.1', id: 'a', status: 200 };

test('the first read of each token, address, instance and status counts', () => {
  const reads = createLogReads(() => 0);
  expect(reads.isFirst(read)).toBe(true);
  expect(reads.isFirst(read)).toBe(false);
  for (const other of [{ by: undefined }, { address: '192.0.2.2' }, { id: 'b' }, { status: 403 }]) {
    expect([other, reads.isFirst({ ...read, ...other })]).toEqual([other, true]);
    expect([other, reads.isFirst({ ...read, ...other })]).toEqual([other, false]);
  }
});

test('a log that is read for long counts every ten minutes', () => {
  let now = 0;
  const reads = createLogReads(() => now);
  const counted: number[] = [];
  for (; now < 1_800_000; now += 1_000) if (reads.isFirst(read)) counted.push(now);
  expect(counted).toEqual([0, 600_000, 1_200_000]);
});

test('above the maximum, the reading that was counted first is forgotten', () => {
  let now = 0;
  const reads = createLogReads(() => now, 2);
  const isFirst = (id: string) => reads.isFirst({ ...read, id });
  expect(isFirst('a')).toBe(true);
  now = 599_999;
  expect(isFirst('b')).toBe(true);
  now = 600_000;
  expect(isFirst('a')).toBe(true);
  expect(isFirst('c')).toBe(true);
  expect([isFirst('a'), isFirst('c')]).toEqual([false, false]);
  expect(isFirst('b')).toBe(true);
});
