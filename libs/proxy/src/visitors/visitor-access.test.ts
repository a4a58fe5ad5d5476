import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { ApiError } from '@ephemera/domain';
import type { Failure, Route } from '@ephemera/domain';
import { expect, test } from 'vitest';
import { makeAccessToken } from '../access/access-token.ts';
import { requireOwnForm, visitorOf } from './visitor-access.ts';
import type { Visitor } from './visitor-access.ts';

// What a client is for an instance, and which requests of a browser its user has intended.

const ID = `a${'b1'.repeat(12)}c`;
const HOST = 'demos.example';
const { token, hash } = makeAccessToken();
const OPEN = { state: 'ready', generation: 1 } as Route;
const GUARDED = { ...OPEN, access: hash } as Route;
/** The cookie that this browser got at the start. */
const STARTED = { cookie: 'started' };
const own = { has: (cookie: string | undefined, id: string) => cookie === 'started' && id === ID };

type Headers = Record<string, string>;

function roleOf(
  headers: Headers,
  route: Route | undefined = OPEN,
  { isShared = false, id = ID } = {},
): Visitor | Failure['kind'] {
  const req = new IncomingMessage(new Socket());
  req.headers = headers;
  try {
    return visitorOf(req, id, route, { own, hosts: ['127.0.0.1', HOST], isShared });
  } catch (error) {
    if (error instanceof ApiError) return error.failure.kind;
    throw error;
  }
}

const GUEST: Visitor = { role: 'guest', by: undefined, mayChange: false };
const BY_COOKIE: Visitor = { role: 'owner', by: 'cookie', mayChange: true };
const BY_HEADER: Visitor = { role: 'owner', by: 'header', mayChange: true };
const ACCESS = { cookie: `ephemera-token=${token}` };

test('a client without a proof is a guest of an open instance, and nothing of a guarded one', () => {
  expect(roleOf({})).toEqual(GUEST);
  expect(roleOf({}, GUARDED)).toBe('access_denied');
  expect(roleOf({ cookie: 'planted' }, GUARDED)).toBe('access_denied');
  expect(roleOf(STARTED, OPEN, { id: `${ID.slice(0, -1)}d` })).toEqual(GUEST);
});

test('the browser that has started an instance owns it', () => {
  expect(roleOf(STARTED)).toEqual(BY_COOKIE);
  expect(roleOf(STARTED, GUARDED)).toEqual(BY_COOKIE);
});

test('the access token of a guarded instance makes its client the owner', () => {
  expect(roleOf({ 'ephemera-token': token }, GUARDED)).toEqual(BY_HEADER);
  expect(roleOf({ 'ephemera-token': token }, GUARDED, { isShared: true })).toEqual(BY_HEADER);
  expect(roleOf(ACCESS, GUARDED)).toEqual(BY_COOKIE);
  expect(roleOf({ 'ephemera-token': makeAccessToken().token }, GUARDED)).toBe('access_denied');
});

test('pages of other origins cannot use the cookies of their visitor', () => {
  for (const headers of [
    { origin: 'https://evil.example' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' },
    { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors' },
    { 'sec-fetch-site': 'cross-site' },
  ]) {
    expect(roleOf({ ...STARTED, ...headers })).toEqual(GUEST);
    expect(roleOf({ ...ACCESS, ...headers }, GUARDED)).toBe('access_denied');
  }
});

test('pages of the own origin can, and so can a window that another page opens', () => {
  for (const headers of [
    { origin: `https://${HOST}` },
    { origin: 'http://127.0.0.1' },
    { 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' },
  ]) {
    expect(roleOf({ ...STARTED, ...headers })).toEqual(BY_COOKIE);
  }
});

test('on an origin that instances share, a browser must say what sends a change', () => {
  const shared = { isShared: true };
  expect(roleOf(STARTED, OPEN, shared)).toEqual({ ...BY_COOKIE, mayChange: false });
  const headers = { ...STARTED, 'sec-fetch-site': 'same-origin' };
  expect(roleOf(headers, OPEN, shared)).toEqual(BY_COOKIE);
});

function formOf(headers: Headers, isShared: boolean): number {
  try {
    requireOwnForm(headers, { hosts: ['127.0.0.1', HOST], isShared });
    return 200;
  } catch (error) {
    if (!(error instanceof ApiError) || error.failure.kind !== 'invalid') throw error;
    const { status = 400, faults } = error.failure;
    // The reason tells the user what to do: a browser that sends no Fetch Metadata needs HTTPS there.
    const reason = isShared && !('sec-fetch-site' in headers) ? 'use HTTPS' : 'only the form';
    expect(faults).toEqual([{ path: '', detail: expect.stringContaining(reason) as string }]);
    return status;
  }
}

const FORM = {
  'sec-fetch-site': 'same-origin',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
};

test('a form of the own page that opens in a window may make a change', () => {
  for (const isShared of [false, true]) expect(formOf(FORM, isShared)).toBe(200);
});

test.each([
  ['from another origin', { 'sec-fetch-site': 'same-site' }],
  ['from another site', { 'sec-fetch-site': 'cross-site' }],
  ['by the address bar', { 'sec-fetch-site': 'none' }],
  ['by a script', { 'sec-fetch-mode': 'cors' }],
  ['in a frame', { 'sec-fetch-dest': 'iframe' }],
])('a request %s may not', (_, change) => {
  for (const isShared of [false, true]) {
    expect(formOf({ ...FORM, ...change, origin: `https://${HOST}` }, isShared)).toBe(403);
  }
});

test('without Fetch Metadata, the origin decides, except where instances share it', () => {
  for (const origin of ['https://127.0.0.1', `https://${HOST}`]) {
    expect(formOf({ origin }, false)).toBe(200);
    expect(formOf({ origin }, true)).toBe(403);
  }
  for (const headers of [{}, { origin: 'null' }, { origin: 'https://evil.example' }]) {
    expect(formOf(headers, false)).toBe(403);
  }
});
