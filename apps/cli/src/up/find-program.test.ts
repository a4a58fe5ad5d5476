import { expect, test } from 'vitest';

import { findProgram, isStaticBinary } from './find-program.ts';

test("Debian's static busybox is static", () => {
  expect(isStaticBinary(findProgram('busybox') ?? '')).toBe(true);
});

test('a dynamically linked program, or another file, is not static', () => {
  expect(isStaticBinary(process.execPath)).toBe(false);
  expect(isStaticBinary(import.meta.filename)).toBe(false);
});
