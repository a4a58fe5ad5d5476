import { expect, test } from 'vitest';
import { STATES, TRANSITIONS, endState, isDead, mayMove } from './state.ts';
import type { State } from './state.ts';

test('every life ends: from each state some way leads to a dead one, and none leads in a circle', () => {
  const longest = (state: State, path: readonly State[]): number => {
    expect(path).not.toContain(state);
    const next = TRANSITIONS[state];
    if (next.length === 0) expect(isDead(state)).toBe(true);
    return 1 + Math.max(0, ...next.map((each) => longest(each, [...path, state])));
  };
  expect(longest('pending', [])).toBe(6);
});

test('whatever lives can be ended, and only through draining', () => {
  for (const state of STATES) {
    if (isDead(state)) continue;
    const ends = TRANSITIONS[state].filter(isDead);
    expect(state === 'draining' ? ends : [...TRANSITIONS[state]]).toContain(
      state === 'draining' ? 'gone' : 'draining',
    );
    if (state !== 'draining') expect(ends).toEqual([]);
  }
});

test('nothing comes back', () => {
  for (const to of STATES) {
    expect(mayMove('gone', to)).toBe(false);
    expect(mayMove('failed', to)).toBe(false);
    expect(mayMove(to, 'pending')).toBe(false);
  }
});

test('only a failed start ends as failed', () => {
  expect(endState('start_failed')).toBe('failed');
  for (const reason of ['ttl', 'idle', 'request', 'exited', 'oom', 'orphan'] as const) {
    expect(endState(reason)).toBe('gone');
  }
});
