import { sampleDraft } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { oneHost } from '../test/one-host.ts';
import { create } from './acquire-instance.ts';

test('writes the intent before it adds the spawn job', async () => {
  const { instances } = oneHost();
  const added: unknown[] = [];
  const spawns = {
    async add({ id, generation }: { id: string; generation: number }) {
      added.push([id, generation, (await instances.get(id))?.state]);
    },
  };
  const created = await create({ instances, spawns }, sampleDraft());
  expect(added).toEqual([[created.id, created.generation, 'pending']]);
});

test('if the spawn job cannot be added, the instance ends at its start deadline', async () => {
  const host = oneHost();
  const draft = sampleDraft();
  const spawns = { add: () => Promise.reject(new Error('the queue is unavailable')) };
  await expect(create({ instances: host.instances, spawns }, draft)).rejects.toThrow('unavailable');
  expect(await host.reconcile()).toBe(0);
  expect(await host.stateOf(draft.id)).toBe('pending');
  host.clock.advance(30_000);
  expect(await host.reconcile()).toBe(1);
  expect(await host.instances.get(draft.id)).toMatchObject({
    state: 'failed',
    reason: 'start_failed',
  });
});
