import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DEFAULT_CELL, ID_PATTERN, cellOf, isId, makeToken, newId } from './id.ts';

test('every id is a DNS label without a hyphen', () => {
  for (let i = 0; i < 1_000; i++) {
    const id = newId(randomBytes);
    expect(id).toMatch(ID_PATTERN);
    expect(id).toMatch(/^[a-z][a-z0-9]{0,62}$/);
    expect(isId(id)).toBe(true);
  }
});

test('an id has at least 128 random bits after the letter of its cell', () => {
  expect(25 * Math.log2(36)).toBeGreaterThan(128);
  expect(newId(randomBytes)).toHaveLength(1 + 25);
});

test('the first character of an id is the letter of its cell', () => {
  expect(cellOf(newId(randomBytes))).toBe(DEFAULT_CELL);
  expect(cellOf(newId(randomBytes, 'k'))).toBe('k');
  expect(isId(newId(randomBytes, 'k'))).toBe(true);
});

test('a token is random in its first letter too', () => {
  const letters = new Set(Array.from({ length: 1_000 }, () => makeToken(randomBytes).charAt(0)));
  expect(letters.size).toBe(26);
});

test('1,000,000 ids are all different', () => {
  const random = inLots(randomBytes);
  const ids = new Set(Array.from({ length: 1_000_000 }, () => newId(random)));
  expect(ids.size).toBe(1_000_000);
});

/** Reads random bytes in large blocks, because each call of the system's generator is slow. */
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

// A plain modulo 36 would make the first four letters a seventh more likely than the rest.
test('every letter and digit is equally likely', () => {
  const counts = new Map<string, number>();
  const rounds = 20_000;
  for (let i = 0; i < rounds; i++) {
    for (const letter of newId(randomBytes).slice(1)) {
      counts.set(letter, (counts.get(letter) ?? 0) + 1);
    }
  }
  const expected = (rounds * 25) / 36;
  expect(counts.size).toBe(36);
  for (const count of counts.values()) {
    expect(Math.abs(count - expected) / expected).toBeLessThan(0.06);
  }
});

test('a byte that would favour some characters is discarded', () => {
  let calls = 0;
  const id = newId((size) => new Uint8Array(size).fill(calls++ === 0 ? 255 : 7));
  expect(id).toBe(`a${'h'.repeat(25)}`);
  expect(calls).toBe(2);
});

test.each(['', 'a', 'A'.repeat(26), `1${'a'.repeat(25)}`, `${'a'.repeat(25)}-`, 'a'.repeat(27)])(
  '"%s" is not an id',
  (text) => {
    expect(isId(text)).toBe(false);
  },
);

test('an id with anything around it is not an id', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 3 }), (extra) => {
      const id = 'a'.repeat(26);
      expect(isId(id + extra)).toBe(false);
      expect(isId(extra + id)).toBe(false);
    }),
  );
});
