import type { InstanceResource } from '@ephemera/contract';
import { expect, test } from 'vitest';

import type { AdminApi } from '../admin-api.ts';
import { killCreatedSince, createdIds } from './kill-created-since.ts';

/** A control API over a list of states, which move on by one step between two listings. */
function fakeApi(states: Map<string, string>, moves: Record<string, string> = {}) {
  const killed: string[] = [];
  const api = {
    list: () => {
      const listed = [...states].map(([id, state]) => ({ id, status: { state } }));
      for (const [id, state] of states) states.set(id, moves[state] ?? state);
      return Promise.resolve(listed as InstanceResource[]);
    },
    kill: (id: string) => {
      killed.push(id);
      states.set(id, 'draining');
      return Promise.resolve();
    },
  } as AdminApi;
  return { api, killed };
}

test('only what was made since the start is killed, once each, and its end is awaited', async () => {
  const states = new Map([['old', 'ready']]);
  const { api, killed } = fakeApi(states, { draining: 'gone' });
  const before = await createdIds(api);
  states.set('new1', 'ready').set('new2', 'starting').set('dead', 'gone');

  const notes: string[] = [];
  const done = await killCreatedSince(api, before, (note) => notes.push(note));
  expect(done).toBe(0);
  expect(killed).toEqual(['new1', 'new2']);
  expect(states.get('old')).toBe('ready');
  expect(notes.at(-1)).toBe('2 of 2 gone');
});

// Killing them would have the workers start others, for ever.
test('a pool is left as it is, but an instance taken from it is killed', async () => {
  const states = new Map([
    ['idle', 'warm'],
    ['taken', 'warm'],
  ]);
  const { api, killed } = fakeApi(states, { draining: 'gone', starting: 'warm' });
  const before = await createdIds(api);
  states.set('taken', 'ready');
  const kill = api.kill;
  api.kill = (id) => {
    states.set('refill', 'starting');
    return kill(id);
  };

  expect(await killCreatedSince(api, before, () => undefined)).toBe(0);
  expect(killed).toEqual(['taken']);
});
