import { expect, test } from 'vitest';
import { OutputRing } from './output-ring.ts';

test('the last bytes are kept, and positions count from the start', () => {
  const ring = new OutputRing(4);
  ring.append(Buffer.from('abc'));
  expect(ring.read(0)).toEqual({ offset: 0, data: Buffer.from('abc') });
  ring.append(Buffer.from('de'));
  expect(ring.read(0)).toEqual({ offset: 1, data: Buffer.from('bcde') });
  expect(ring.read(3)).toEqual({ offset: 3, data: Buffer.from('de') });
  expect(ring.read(2, 2)).toEqual({ offset: 2, data: Buffer.from('cd') });
  expect(ring.read(99)).toEqual({ offset: 5, data: Buffer.alloc(0) });
  expect(ring.total).toBe(5);
});

test('a chunk above the limit leaves its end', () => {
  const ring = new OutputRing(4);
  ring.append(Buffer.from('ab'));
  ring.append(Buffer.from('0123456789'));
  expect(ring.read(0)).toEqual({ offset: 8, data: Buffer.from('6789') });
  expect(ring.total).toBe(12);
});

test('any sequence of chunks reads as the end of their concatenation', () => {
  const limit = 3_000;
  const ring = new OutputRing(limit);
  let all = Buffer.alloc(0);
  for (let size = 0; size < 4_000; size += 97) {
    const chunk = Buffer.alloc(size, size);
    ring.append(chunk);
    all = Buffer.concat([all, chunk]);
    const offset = Math.max(0, all.length - limit);
    expect(ring.read(0)).toEqual({ offset, data: all.subarray(offset) });
  }
});
