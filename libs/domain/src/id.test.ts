import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ID_PATTERN, isId, makeId } from './id.ts';

test('every id is a DNS label that stays parseable after PORT-', () => {
  for (let i = 0; i < 1_000; i++) {
    const id = makeId(randomBytes);
    expect(id).toMatch(ID_PATTERN);
    expect(id).toMatch(/^[a-z][a-z0-9]{0,62}$/);
    expect(isId(id)).toBe(true);
  }
});

test('carries at least 128 random bits', () => {
  const bits = Math.log2(26) + 25 * Math.log2(36);
  expect(bits).toBeGreaterThan(128);
});

test('1,000,000 ids are 1,000,000 different ones', () => {
  const random = inLots(randomBytes);
  const ids = new Set(Array.from({ length: 1_000_000 }, () => makeId(random)));
  expect(ids.size).toBe(1_000_000);
});

/** The same bytes, asked for in lots, since each call of the system's generator takes its time. */
function inLots(random: (size: number) => Uint8Array): (size: number) => Uint8Array {
  let lot: Uint8Array = new Uint8Array();
  let at = 0;
  return (size) => {
    if (at + size > lot.length) {
      lot = random(size * 4_096);
      at = 0;
    }
    at += size;
    return lot.subarray(at - size, at);
  };
}

// Taking every byte modulo 36 would make the first four letters a seventh likelier than the rest.
test('no letter or digit is likelier than another', () => {
  const counts = new Map<string, number>();
  const rounds = 20_000;
  for (let i = 0; i < rounds; i++) {
    for (const letter of makeId(randomBytes).slice(1)) {
      counts.set(letter, (counts.get(letter) ?? 0) + 1);
    }
  }
  const expected = (rounds * 25) / 36;
  expect(counts.size).toBe(36);
  for (const count of counts.values()) {
    expect(Math.abs(count - expected) / expected).toBeLessThan(0.06);
  }
});

test('a byte that would favour some letters is thrown away', () => {
  let calls = 0;
  const id = makeId((size) => new Uint8Array(size).fill(calls++ === 0 ? 255 : 7));
  expect(id).toBe('h'.repeat(26));
  expect(calls).toBe(2);
});

test.each(['', 'a', 'A'.repeat(26), `1${'a'.repeat(25)}`, `${'a'.repeat(25)}-`, 'a'.repeat(27)])(
  '"%s" is no id',
  (text) => {
    expect(isId(text)).toBe(false);
  },
);

test('nothing around an id passes with it', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 3 }), (extra) => {
      const id = 'a'.repeat(26);
      expect(isId(id + extra)).toBe(false);
      expect(isId(extra + id)).toBe(false);
    }),
  );
});
