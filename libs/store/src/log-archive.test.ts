import type { LogLine } from '@ephemera/lifecycle';
import { expect, test } from 'vitest';
import { openRedis } from '../test/open-redis.ts';
import { keysOf } from './keys.ts';
import { redisLogArchive } from './log-archive.ts';

const MAX_BYTES = 16_384;
const keys = keysOf('archive');
const { redis } = await openRedis();

const linesOf = (count: number, text: string): LogLine[] =>
  Array.from({ length: count }, (_, i) => ({
    time: `2026-01-01T00:00:00.${String(i).padStart(9, '0')}Z`,
    stream: 'stdout',
    text,
  }));

// What an instance prints decides what is stored, so no text may cost more than its share.
test.each([
  ['many empty lines', linesOf(5_000, '')],
  ['control characters', linesOf(500, '\u0001'.repeat(1_000))],
  ['characters of three bytes', linesOf(500, '€'.repeat(1_000))],
  ['one long line', linesOf(1, 'x'.repeat(100_000))],
  ['one long line of control characters', linesOf(1, '\u0001'.repeat(100_000))],
])('the archive of a log of %s is bounded in bytes, and keeps its end', async (what, lines) => {
  const archive = redisLogArchive(redis, keys, 60_000);
  await archive.save(what, lines);
  const size = await redis.strlen(keys.log(what));
  expect(size).toBeLessThanOrEqual(MAX_BYTES);
  // As much as fits.
  const text = lines[0]?.text ?? '';
  expect(size).toBeGreaterThan(
    MAX_BYTES - (lines.length > 1 ? JSON.stringify(text).length * 3 + 100 : 10),
  );
  const kept = (await archive.read(what)) ?? [];
  expect(kept.at(-1)?.time).toBe(lines.at(-1)?.time);
  expect(lines.at(-1)?.text.endsWith(kept.at(-1)?.text ?? '-')).toBe(true);
});

test('a short log is stored whole, and none for an instance that printed nothing', async () => {
  const archive = redisLogArchive(redis, keys, 60_000);
  const lines = linesOf(3, 'a line\n');
  await archive.save('short', lines);
  await archive.save('none', []);
  expect(await archive.read('short')).toEqual(lines);
  expect(await archive.read('none')).toBeUndefined();
  expect(await redis.pttl(keys.log('short'))).toBeGreaterThan(0);
});
