import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { TokenEntries } from '@ephemera/config';
import { ApiError } from '@ephemera/domain';
import type { Instance, Principal, Route, Scope } from '@ephemera/domain';
import { createTokens, hashToken } from '@ephemera/http';
import { expect, test } from 'vitest';
import { makeAccessToken } from './access-token.ts';
import { causeAccess, ownsInstance } from './cause-access.ts';

const entry = (scope: Scope): TokenEntries[string] => ({
  hash: [hashToken(`token-${scope}`)],
  scopes: [scope],
});
const entries: TokenEntries = { reader: entry('read'), maker: entry('create') };
const tokens = createTokens('the-admin-of-all-of-this', () => entries);
const guard = makeAccessToken();

interface Input {
  /** Hash of the instance's access token. */
  readonly access?: string;
  readonly owner?: string;
  /** Thrown by the read of the route. */
  readonly error?: Error;
  /** Number of further invalid tokens that the client address has. */
  readonly guesses?: number;
}

/** Whether a request with these headers sees the reason, and how often the store was asked. */
async function read(headers: IncomingHttpHeaders, { access, owner, error, guesses = 9 }: Input) {
  let asked = 0;
  const mayRead = causeAccess({
    routes: {
      find: () => {
        asked++;
        const route = { state: 'ready', access } as Route;
        const found = { route, validUntil: 0, deadline: 0 };
        return error ? Promise.reject(error) : Promise.resolve(found);
      },
    },
    instances: { get: () => Promise.resolve({ owner } as Instance) },
    tokens,
    authThrottle: {
      isBlocked: () => Promise.resolve(guesses > 0 ? undefined : 60),
      recordFailure: () => Promise.resolve(undefined),
    },
    addressOf: () => '192.0.2.1',
  });
  return {
    may: await mayRead({ headers } as Partial<IncomingMessage> as IncomingMessage, 'an-id'),
    asked,
  };
}

test('without a token nothing is asked', async () => {
  expect(await read({}, {})).toEqual({ may: false, asked: 0 });
  expect(await read({ cookie: 'a=1' }, { access: guard.hash })).toEqual({ may: false, asked: 0 });
});

test('the access token of a guarded instance shows the reason, and no other token', async () => {
  const input = { access: guard.hash, owner: 'token:maker' };
  const may = async (headers: IncomingHttpHeaders) => (await read(headers, input)).may;
  expect(await may({ 'ephemera-token': guard.token })).toBe(true);
  expect(await may({ cookie: `ephemera-token=${guard.token}` })).toBe(true);
  expect(await may({ 'ephemera-token': makeAccessToken().token })).toBe(false);
  expect(await may({ 'ephemera-token': 'token-read' })).toBe(false);
});

test('of an open instance, tokens of the control API that may read it see the reason', async () => {
  const may = async (token: string, input: Input = {}) =>
    (await read({ 'ephemera-token': token }, input)).may;
  expect(await may('token-read')).toBe(true);
  expect(await may('token-create', { owner: 'token:maker' })).toBe(true);
  expect(await may('token-create', { owner: 'token:other' })).toBe(false);
  expect(await may('token-create')).toBe(false);
  expect(await may('nothing')).toBe(false);
  expect(await may('token-read', { guesses: 0 })).toBe(false);
});

test('a cookie of an open instance is not a token of the control API', async () => {
  // A page of any instance can set it.
  expect(await read({ cookie: 'ephemera-token=token-read' }, {})).toEqual({ may: false, asked: 1 });
});

test('without Redis nobody sees the reason, and a bug is not hidden', async () => {
  const headers = { 'ephemera-token': 'token-read' };
  const error = new ApiError({ kind: 'store_unavailable' });
  expect((await read(headers, { error })).may).toBe(false);
  await expect(read(headers, { error: new TypeError('a bug') })).rejects.toThrow('a bug');
});

test('only a token that may create owns instances', async () => {
  const owns = (principal: Principal, owner: string | undefined) =>
    ownsInstance({ get: () => Promise.resolve({ owner } as Instance) }, principal, 'an-id');
  expect(await owns({ name: 'maker', scopes: ['create'] }, 'token:maker')).toBe(true);
  expect(await owns({ name: 'maker', scopes: ['create'] }, 'token:other')).toBe(false);
  // A token whose scope the operator has reduced.
  expect(await owns({ name: 'maker', scopes: ['read'] }, 'token:maker')).toBe(false);
});
