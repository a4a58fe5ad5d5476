import type { InstanceDraft } from '@ephemera/domain';
import {
  manualClock,
  memoryContainers,
  memoryInstances,
  memoryKillJobs,
  sampleDraft,
} from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { endExitedInstance } from './kill.ts';

/** A store and the daemon of host `a`. `reported` handles an exit there. */
function fixture() {
  const clock = manualClock();
  const { now } = clock;
  const [instances, containers] = [memoryInstances({ now }), memoryContainers({ now })];
  const start = async (instance: InstanceDraft, generation: number) => {
    const assigned = await instances.get(instance.id);
    if (!assigned) throw new Error('it is gone');
    const [next, reportProgress] = [() => Promise.resolve(generation), () => Promise.resolve(true)];
    const started = await containers.start({ ...assigned, generation }, next, reportProgress);
    return started?.containerId ?? '';
  };
  return {
    clock,
    instances,
    containers,
    start,
    async ready(host: string) {
      const { id, generation } = await instances.create(sampleDraft());
      const assigned = await instances.assignToHost(id, generation, host);
      if (!assigned) throw new Error('it could not be assigned');
      const containerId = await start(assigned, generation);
      await instances.markReady(id, generation, '10.0.0.9', host);
      return { instance: assigned, exit: { id, containerId } };
    },
    reported: (exit: { id: string; containerId: string }) =>
      endExitedInstance({ host: 'a', instances, containers, killJobs: memoryKillJobs() }, exit),
    stateOf: async (id: string) => (await instances.get(id))?.state,
  };
}

test.each([
  [{ exitCode: 3 }, 'exited', 'The container exited with code 3.'],
  [{ exitCode: 137, oomKilled: true }, 'oom', 'The container ran out of memory.'],
])('an instance ends with its container, with the reason: %o', async (how, reason, message) => {
  const { clock, instances, containers, ready, reported } = fixture();
  const { exit } = await ready('a');
  clock.advance(5_000);
  containers.exit(exit.id, how);
  expect(await reported(exit)).toMatchObject({ kind: 'killed' });
  expect(await instances.get(exit.id)).toMatchObject({ state: 'gone', reason, message });
  expect(containers.containers.size).toBe(0);
});

test('an exit within 5 s of ready is a failed start, with its log and a hint', async () => {
  const { clock, instances, containers, ready, reported } = fixture();
  const { exit } = await ready('a');
  clock.advance(4_999);
  const log = "up\nOSError: [Errno 30] Read-only file system: '/data/x'";
  containers.exit(exit.id, { exitCode: 1, log });
  expect(await reported(exit)).toMatchObject({ kind: 'killed' });
  expect(await instances.get(exit.id)).toMatchObject({
    state: 'failed',
    reason: 'start_failed',
    message: `The container exited with code 1. Its last lines:\n${log}`,
    hint: { code: 'read_only_root', cure: 'tmpfs: { /data: 64m }' },
  });
});

test('a later exit has the hint, but not the log, which not every reader may see', async () => {
  const { clock, instances, containers, ready, reported } = fixture();
  const { exit } = await ready('a');
  clock.advance(60_000);
  containers.exit(exit.id, { exitCode: 137, oomKilled: true, log: 'secret' });
  await reported(exit);
  expect(await instances.get(exit.id)).toMatchObject({
    reason: 'oom',
    message: 'The container ran out of memory.',
    hint: { code: 'out_of_memory', cure: 'limits: { memory: 128m }' },
  });
});

// After losing writes, the store assigned the instance to another host. This host removes its own
// container.
test('an instance of another host continues', async () => {
  const { containers, ready, reported, stateOf } = fixture();
  const { exit } = await ready('b');
  await containers.remove(exit.containerId);
  expect(await reported(exit)).toEqual({ kind: 'absent' });
  expect(await stateOf(exit.id)).toBe('ready');
});

// A start that runs again after a claim creates a second container and removes it.
test('an instance with another running container continues', async () => {
  const { containers, start, ready, reported, stateOf } = fixture();
  const { instance, exit } = await ready('a');
  const twin = await start(instance, instance.generation + 1);
  await containers.remove(twin);
  expect(await reported({ id: exit.id, containerId: twin })).toEqual({ kind: 'absent' });
  expect(await stateOf(exit.id)).toBe('ready');
  expect(containers.containers.size).toBe(1);
});

test('an instance with a running container, or in draining, is unchanged', async () => {
  const { instances, ready, reported, stateOf } = fixture();
  const { exit } = await ready('a');
  expect(await reported(exit)).toEqual({ kind: 'absent' });
  expect(await stateOf(exit.id)).toBe('ready');
  await instances.startDraining(exit.id, 'request');
  expect(await reported(exit)).toEqual({ kind: 'absent' });
  expect(await stateOf(exit.id)).toBe('draining');
});
