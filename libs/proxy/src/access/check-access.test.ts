import { expect, test } from 'vitest';
import { isFromOwnPage } from './check-access.ts';

const OWN = 'https://a.example';

test.each([
  // Typed into the address bar, or opened from a bookmark.
  ['POST', { 'sec-fetch-site': 'none' }, true],
  ['POST', { 'sec-fetch-site': 'same-origin' }, true],
  ['POST', { 'sec-fetch-site': 'same-site' }, false],
  ['GET', { 'sec-fetch-site': 'cross-site' }, false],
  ['GET', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, true],
  ['HEAD', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, true],
  ['POST', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, false],
  ['GET', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'websocket' }, false],
  // Browsers send no Fetch Metadata over plain HTTP.
  ['GET', {}, true],
  ['GET', { origin: OWN }, true],
  ['GET', { origin: 'https://b.example' }, false],
  ['GET', { origin: 'null' }, false],
  ['POST', { origin: OWN, 'sec-fetch-site': 'same-site' }, true],
  ['POST', { origin: 'https://b.example', 'sec-fetch-site': 'same-site' }, false],
])('%s with %j comes from a page of the instance: %s', (method, headers, expected) => {
  expect(isFromOwnPage(method, headers, OWN)).toBe(expected);
});

test('without an origin of the instance, only the absence of one passes', () => {
  expect(isFromOwnPage('GET', {}, undefined)).toBe(true);
  expect(isFromOwnPage('GET', { origin: OWN }, undefined)).toBe(false);
});
