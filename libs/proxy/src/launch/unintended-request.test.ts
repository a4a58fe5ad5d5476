import { expect, test } from 'vitest';
import { unintendedReason } from './unintended-request.ts';

const isOwn = (origin: string) => origin === 'http://demos.example';
/** Instances below a domain, and instances on the origin of the launch page. */
const below = { isOwn, isShared: false };
const beside = { isOwn, isShared: true };
const page = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

test.each([
  ['curl', 'GET', {}],
  ['a link on another site', 'GET', { 'sec-fetch-site': 'cross-site', ...page }],
  [
    'a form on another site',
    'POST',
    { 'sec-fetch-site': 'cross-site', ...page, origin: 'https://x.example' },
  ],
  ['an address typed in', 'GET', { 'sec-fetch-site': 'none', ...page }],
  ['a form of this site', 'POST', { 'sec-fetch-site': 'same-origin', ...page }],
  ['a form of this site over plain HTTP', 'POST', { origin: 'http://demos.example' }],
])('%s is intended', (_, method, headers) => {
  expect(unintendedReason(method, headers, below)).toBe(undefined);
  expect(unintendedReason(method, headers, beside)).toBe(undefined);
});

test.each([
  ['an image', 'GET', { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }],
  ['a script', 'GET', { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'script' }],
  ['fetch', 'POST', { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }],
  ['a frame', 'GET', { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' }],
  ['a form into a frame', 'POST', { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' }],
  ['what says nothing of what it is', 'GET', {}],
])('%s of another site or of an instance is unintended', (_, method, headers) => {
  for (const site of ['cross-site', 'same-site']) {
    expect(unintendedReason(method, { 'sec-fetch-site': site, ...headers }, below)).toBe(
      'subresource',
    );
  }
  // On a shared origin, instances cannot be distinguished from the product, which has no
  // subresources.
  const own = { 'sec-fetch-site': 'same-origin', ...headers };
  expect(unintendedReason(method, own, beside)).toBe('subresource');
  expect(unintendedReason(method, own, below)).toBe(undefined);
});

test.each([
  'https://x.example',
  'null',
  'http://demos.example.x.example',
  'http://demos.example:81',
])('a form of %s over plain HTTP is unintended', (origin) =>
  expect(unintendedReason('POST', { origin }, below)).toBe('subresource'),
);

test.each([
  { 'sec-purpose': 'prefetch' },
  { 'sec-purpose': 'prefetch;prerender' },
  { purpose: 'prefetch' },
  { 'x-moz': 'prefetch' },
  { 'x-purpose': 'preview' },
])('%j is a prefetch', (headers) => {
  expect(unintendedReason('GET', { 'sec-fetch-site': 'none', ...page, ...headers }, below)).toBe(
    'prefetch',
  );
});
