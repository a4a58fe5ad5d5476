import { manualClock, memoryInstances, sampleDraft } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { drainHost } from './drain-host.ts';

function fixture() {
  const clock = manualClock();
  const instances = memoryInstances({ now: () => clock.now() });
  const requested: string[] = [];
  let cordon: Awaited<ReturnType<Parameters<typeof drainHost>[0]['hosts']['cordonOf']>>;
  const start = async (host: string, pool?: string) => {
    const draft = sampleDraft({ timeout: 600_000, ...(pool !== undefined && { pool }) });
    const { id, generation } = await instances.create(draft);
    await instances.assignToHost(id, generation, host);
    await instances.markReady(id, generation, '10.0.0.9');
    return id;
  };
  return {
    clock,
    requested,
    start,
    set: (next: typeof cordon) => void (cordon = next),
    reasonOf: async (id: string) => (await instances.get(id))?.reason,
    drain: () =>
      drainHost(
        {
          instances,
          killRequests: {
            enqueueNow({ id }) {
              requested.push(id);
              return Promise.resolve();
            },
          },
          hosts: { cordonOf: () => Promise.resolve(cordon) },
        },
        'h',
      ),
  };
}

test('only a drain ends instances: first the warm ones of the host, the others after its deadline', async () => {
  const { clock, start, set, drain, reasonOf, requested } = fixture();
  const [warm, ready] = [await start('h', 'pool'), await start('h')];
  const elsewhere = await start('other', 'pool');
  expect(await drain()).toEqual([]);
  set({});
  expect(await drain()).toEqual([]);

  set({ drain: { deadline: clock.now() + 60_000 } });
  expect(await drain()).toEqual([warm]);
  expect(await drain()).toEqual([]);
  clock.advance(59_999);
  expect(await drain()).toEqual([]);
  clock.advance(1);
  expect(await drain()).toEqual([ready]);
  expect(requested).toEqual([warm, ready]);
  expect([await reasonOf(warm), await reasonOf(ready)]).toEqual(['request', 'host_drained']);
  expect(await reasonOf(elsewhere)).toBeUndefined();
});

test('a drain without a deadline leaves instances their own', async () => {
  const { clock, start, set, drain } = fixture();
  await start('h');
  set({ drain: {} });
  clock.advance(300_000);
  expect(await drain()).toEqual([]);
});
