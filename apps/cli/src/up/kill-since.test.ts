import type { InstanceResource } from '@ephemera/contract';
import { expect, test } from 'vitest';

import type { AdminApi } from '../admin-api.ts';
import { killSince, livingIds } from './kill-since.ts';

/** A control API over a list of states; what is killed drains for one listing, then is gone. */
function fakeApi(states: Map<string, string>) {
  const killed: string[] = [];
  const api = {
    list: () => {
      const listed = [...states].map(([id, state]) => ({ id, status: { state } }));
      for (const [id, state] of states) if (state === 'draining') states.set(id, 'gone');
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
  const { api, killed } = fakeApi(states);
  const before = await livingIds(api);
  states.set('new1', 'ready').set('new2', 'starting').set('dead', 'gone');

  const notes: string[] = [];
  expect(await killSince(api, before, (note) => notes.push(note))).toBe(0);
  expect(killed).toEqual(['new1', 'new2']);
  expect(states.get('old')).toBe('ready');
  expect(notes.at(-1)).toBe('2 of 2 gone');
});
