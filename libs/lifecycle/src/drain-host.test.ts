import { manualClock, memoryInstances, sampleDraft } from '@ephemera/test-support';
import type { SeenContainer } from '@ephemera/domain';
import { expect, test } from 'vitest';
import { drainHost } from './drain-host.ts';

function fixture() {
  const clock = manualClock();
  const instances = memoryInstances({ now: () => clock.now() });
  const requested: string[] = [];
  const reports: boolean[] = [];
  const containers = new Set<string>();
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
    instances,
    requested,
    start,
    set: (next: typeof cordon) => void (cordon = next),
    reports,
    containers,
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
          containers: {
            list: () => Promise.resolve([...containers].map((id) => ({ id }) as SeenContainer)),
          },
          hosts: {
            cordonOf: () => Promise.resolve(cordon),
            reportEmpty(_host, isEmpty) {
              reports.push(isEmpty);
              return Promise.resolve();
            },
          },
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

  set({ drain: { deadline: clock.now() + 60_000, isEmpty: false } });
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
  set({ drain: { isEmpty: false } });
  clock.advance(300_000);
  expect(await drain()).toEqual([]);
});

// Redis may have lost an instance whose container still runs.
test('a host is empty only if neither an instance nor a container is left', async () => {
  const { start, set, drain, reports, containers, instances } = fixture();
  const id = await start('h');
  set({ drain: { isEmpty: false } });
  await drain();
  const outcome = await instances.startDraining(id, 'request');
  if (outcome.kind !== 'draining') throw new Error(outcome.kind);
  await instances.finalize(id, outcome.instance.generation);
  containers.add('lost');
  await drain();
  expect(reports).toEqual([]);
  containers.clear();
  await drain();
  expect(reports).toEqual([true]);
  set({ drain: { isEmpty: true } });
  containers.add('restored');
  await drain();
  expect(reports).toEqual([true, false]);
});
