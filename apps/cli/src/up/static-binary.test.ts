import { expect, test } from 'vitest';

import { findProgram } from './find-program.ts';
import { isStaticBinary } from './static-binary.ts';

test("Debian's static busybox needs nothing beside it", () => {
  expect(isStaticBinary(findProgram('busybox') ?? '')).toBe(true);
});

test('a program that wants a loader, or is no program, does not pass', () => {
  expect(isStaticBinary(process.execPath)).toBe(false);
  expect(isStaticBinary(import.meta.filename)).toBe(false);
});
