import { ApiError } from '@ephemera/domain';
import type { Failure, NameRoute, Route } from '@ephemera/domain';
import { expect, test } from 'vitest';
import { endOfName, isOver, mayHaveMoved, resolveName } from './resolve-name.ts';

// What a request for a stable name learns where its instance does not serve.

const ID = `a${'b1'.repeat(12)}c`;
const NAMED: NameRoute = { state: 'name', id: ID, generation: 7 };
const gone: Failure = { kind: 'gone', id: ID, reason: 'ttl' };
const notFound: Failure = { kind: 'not_found', what: 'instance' };

const resolve = (read: () => Promise<NameRoute | undefined>, logged: unknown[] = []) =>
  resolveName({ logger: { error: (fields: unknown) => void logged.push(fields) } }, 'pr-1', read);

test('a name leads to its instance, or nowhere', async () => {
  expect(await resolve(() => Promise.resolve(NAMED))).toEqual({ kind: 'found', route: NAMED });
  expect(await resolve(() => Promise.resolve(undefined))).toEqual({ kind: 'absent' });
});

test('a failed look-up never leads to an instance, and names no cause', async () => {
  const logged: unknown[] = [];
  const rebuilding = new ApiError({ kind: 'rebuilding' });
  const failed = (kind: Failure['kind']) => ({ kind: 'failed', failure: { kind } });
  expect(await resolve(() => Promise.reject(rebuilding), logged)).toEqual(failed('rebuilding'));
  expect(logged).toEqual([]);
  const broken = new Error('a secret detail');
  expect(await resolve(() => Promise.reject(broken), logged)).toEqual(failed('store_unavailable'));
  expect(logged).toEqual([{ err: broken, name: 'pr-1' }]);
});

test.each([
  ['draining', true],
  ['gone', true],
  ['failed', true],
  ['pending', false],
  ['starting', false],
  ['paused', false],
  ['ready', false],
])('an instance that is %s is over: %s', (state, expected) => {
  expect(isOver({ state } as Route)).toBe(expected);
});

test('an unknown instance is not over', () => {
  expect(isOver(undefined)).toBe(false);
});

test('a name is read again only where it may lead to another instance', () => {
  const bare = { headers: {}, url: '/' };
  const withToken = { headers: { 'ephemera-token': 'x' }, url: '/' };
  const startFailed: Failure = { kind: 'start_failed', id: ID, message: 'x' };
  for (const failure of [gone, notFound, startFailed]) {
    expect([failure.kind, mayHaveMoved(failure, false, bare)]).toEqual([failure.kind, true]);
    expect([failure.kind, mayHaveMoved(failure, true, bare)]).toEqual([failure.kind, false]);
  }
  // The token may be that of the instance that the name leads to now.
  expect(mayHaveMoved({ kind: 'access_denied' }, false, bare)).toBe(false);
  expect(mayHaveMoved({ kind: 'access_denied' }, true, withToken)).toBe(true);
  const inUrl = { headers: {}, url: '/?ephemera-token=x' };
  expect(mayHaveMoved({ kind: 'access_denied' }, true, inUrl)).toBe(true);
  expect(mayHaveMoved({ kind: 'access_denied' }, true, { headers: {} })).toBe(false);
  for (const kind of ['store_unavailable', 'internal', 'rebuilding'] as const) {
    expect([kind, mayHaveMoved({ kind }, false, withToken)]).toEqual([kind, false]);
  }
});

test('a name tells the recorded end of an unknown instance, and of no other', () => {
  const ended = { ...NAMED, ended: 'idle' } as const;
  const unknown = { kind: 'failed', failure: notFound } as const;
  expect(endOfName(unknown, ended)).toEqual({
    kind: 'failed',
    failure: { kind: 'gone', id: ID, reason: 'idle' },
  });
  // Without a record: the instance was guarded, or its record has not expired.
  expect(endOfName(unknown, NAMED)).toBe(unknown);
  const answered = { kind: 'answered' } as const;
  expect(endOfName(answered, ended)).toBe(answered);
  const denied = { kind: 'failed', failure: { kind: 'access_denied' } } as const;
  expect(endOfName(denied, ended)).toBe(denied);
});
