import { expect, test } from 'vitest';
import { isPlainTarget } from './request-head.ts';

test.each([
  '/',
  '//',
  '/a/b?c=../d',
  '/a?/../',
  '/...',
  '/.well-known/x',
  '/a.b/..c/d..',
  '/a..%2fb',
  '/%2e%2e%2e/',
  '/?%2e%2e',
  '/a?b\\c',
  '/a?b#c',
  '/?\\..\\#/../',
])('plain: %s', (target) => {
  expect(isPlainTarget(target)).toBe(true);
});

test.each([
  '',
  '*',
  'a',
  'http://a/',
  '/..',
  '/.',
  '/a/..',
  '/a/../b',
  '/a/./b',
  '/a/..?b',
  '/%2e%2E/b',
  '/a/%2e.?b',
  '/a\\b',
  '/a#b',
  '/a#b?c',
  '/a\\b?c',
])('not plain: %s', (target) => {
  expect(isPlainTarget(target)).toBe(false);
});

test('takes time in proportion to the length of the target', () => {
  const before = performance.now();
  for (const unit of ['/', '/.', '/..a', '/%2e', '/%2e%2', '.'])
    isPlainTarget(`/${unit.repeat(200_000)}`);
  expect(performance.now() - before).toBeLessThan(1_000);
});
