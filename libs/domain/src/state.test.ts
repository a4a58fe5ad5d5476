import { expect, test } from 'vitest';
import { STATES, TRANSITIONS, endState, isDead, canTransition } from './state.ts';

test('only a paused instance comes back to where it was', () => {
  const context = STATES.indexOf.bind(STATES);
  const back = STATES.flatMap((from) =>
    TRANSITIONS[from].filter((to) => context(to) <= context(from)).map((to) => `${from} → ${to}`),
  );
  expect(back).toEqual(['paused → ready']);
});

test('whatever lives can be ended, and only through draining', () => {
  for (const state of STATES) {
    if (isDead(state)) continue;
    const killRequests = TRANSITIONS[state].filter(isDead);
    expect(state === 'draining' ? killRequests : [...TRANSITIONS[state]]).toContain(
      state === 'draining' ? 'gone' : 'draining',
    );
    if (state !== 'draining') expect(killRequests).toEqual([]);
  }
});

test('nothing comes back', () => {
  for (const to of STATES) {
    expect(canTransition('gone', to)).toBe(false);
    expect(canTransition('failed', to)).toBe(false);
    expect(canTransition(to, 'pending')).toBe(false);
  }
});

test('only a failed start ends as failed', () => {
  expect(endState('start_failed')).toBe('failed');
  for (const reason of ['ttl', 'idle', 'request', 'exited', 'oom', 'orphan'] as const) {
    expect(endState(reason)).toBe('gone');
  }
});
