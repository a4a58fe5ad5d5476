import type { IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { isNavigation } from './waiting-page.ts';

const asked = (headers: Record<string, string>, method = 'GET') =>
  isNavigation({ method, headers } as unknown as IncomingMessage);

/** The Accept header of browsers. */
const PAGE = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';

test.each([
  ['a page', { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', accept: PAGE }],
  ['a page in a frame', { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe', accept: PAGE }],
  ['a page over plain HTTP', { accept: PAGE, 'upgrade-insecure-requests': '1' }],
])('%s is a navigation', (_, headers) => {
  expect(asked(headers)).toBe(true);
  expect(asked(headers, 'POST')).toBe(false);
  expect(asked(headers, 'HEAD')).toBe(false);
});

test.each([
  ['fetch', { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', accept: '*/*' }],
  ['fetch of HTML', { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty', accept: 'text/html' }],
  ['a script', { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'script', accept: '*/*' }],
  ['a module', { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'script', accept: '*/*' }],
  ['an image', { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image', accept: 'image/*,*/*' }],
  ['an object', { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'object', accept: PAGE }],
  ['a WebSocket', { 'sec-fetch-mode': 'websocket', upgrade: 'websocket' }],
  ['an upgrade in disguise', { upgrade: 'websocket', accept: PAGE }],
  ['curl', { accept: '*/*' }],
  ['a client of the API', { accept: 'application/json' }],
  ['one that takes HTML at a pinch', { accept: 'application/json, text/html;q=0.5' }],
  ['XHR over plain HTTP', { accept: PAGE, 'x-requested-with': 'XMLHttpRequest' }],
  ['nobody in particular', {}],
])('%s is not a navigation', (_, headers: Record<string, string>) => {
  expect(asked(headers)).toBe(false);
});
