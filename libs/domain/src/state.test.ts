import { expect, test } from 'vitest';
import { STATES, TRANSITIONS, endState, isDead, mayMove } from './state.ts';

test('only a paused instance comes back to where it was', () => {
  const order = STATES.indexOf.bind(STATES);
  const back = STATES.flatMap((from) =>
    TRANSITIONS[from].filter((to) => order(to) <= order(from)).map((to) => `${from} → ${to}`),
  );
  expect(back).toEqual(['paused → ready']);
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
