import { sampleDraft } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { oneHost } from '../test/one-host.ts';
import { create } from './acquire-instance.ts';

test('writes the intent before it asks the workers', async () => {
  const { instances } = oneHost();
  const asked: unknown[] = [];
  const spawns = {
    async add({ id, generation }: { id: string; generation: number }) {
      asked.push([id, generation, (await instances.get(id))?.state]);
    },
  };
  const created = await create({ instances, spawns }, sampleDraft());
  expect(asked).toEqual([[created.id, created.generation, 'pending']]);
});

test('where nobody could be asked, the intent ends at its start deadline', async () => {
  const host = oneHost();
  const draft = sampleDraft();
  const spawns = { add: () => Promise.reject(new Error('the queue is away')) };
  await expect(create({ instances: host.instances, spawns }, draft)).rejects.toThrow('away');
  expect(await host.reconcile()).toBe(0);
  expect(await host.stateOf(draft.id)).toBe('pending');
  host.clock.advance(30_000);
  expect(await host.reconcile()).toBe(1);
  expect(await host.instances.get(draft.id)).toMatchObject({
    state: 'failed',
    reason: 'start_failed',
  });
});
