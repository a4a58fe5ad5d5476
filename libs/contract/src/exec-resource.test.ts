import { expect, test } from 'vitest';
import { execRequestSchema } from './exec-resource.ts';

test('a timeout is at most what a timer of Node can hold', () => {
  // A longer timer would fire at once (Node.js, Timers, `setTimeout`).
  const accepts = (timeout: number) => execRequestSchema.safeParse({ cmd: ['x'], timeout }).success;
  const seconds = (2 ** 31 - 1) / 1000;
  expect(accepts(Math.floor(seconds))).toBe(true);
  expect(accepts(Math.ceil(seconds))).toBe(false);
});
