import { expect, test } from 'vitest';
import { STATES, TRANSITIONS, isDead } from './state.ts';

test('the only transition back is paused → ready', () => {
  const back = STATES.flatMap((from) =>
    TRANSITIONS[from]
      .filter((to) => STATES.indexOf(to) <= STATES.indexOf(from))
      .map((to) => `${from} → ${to}`),
  );
  expect(back).toEqual(['paused → ready']);
});

test('every live state can drain, and only draining leads to a dead state', () => {
  for (const state of STATES) {
    if (isDead(state)) continue;
    const dead = TRANSITIONS[state].filter(isDead);
    if (state === 'draining') expect(dead).toEqual(['gone', 'failed']);
    else {
      expect(TRANSITIONS[state]).toContain('draining');
      expect(dead).toEqual([]);
    }
  }
});

test('a dead state has no transition, and none leads to pending', () => {
  expect(TRANSITIONS.gone).toEqual([]);
  expect(TRANSITIONS.failed).toEqual([]);
  for (const from of STATES) expect(TRANSITIONS[from]).not.toContain('pending');
});
