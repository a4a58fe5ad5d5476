import { setTimeout as sleep } from 'node:timers/promises';
import { workerDependencies } from '@ephemera/worker';
import type { Processor } from 'bullmq';
import { expect, test } from 'vitest';
import { FaultInjector } from '../src/injection/inject-faults.ts';
import type { Fault } from '../src/injection/process-plan.ts';
import { runTwice } from '../src/injection/run-twice.ts';

/** A port whose calls take 50 ms, with what happened in order. */
function portWith(...faults: Pick<Fault, 'moment' | 'nth'>[]) {
  const seen: string[] = [];
  const planned = faults.map((fault): Fault => ({
    ...{ call: 'intake.claimWarm', delay: 5, signal: 'SIGKILL' },
    ...fault,
  }));
  const injector = new FaultInjector(planned, ({ moment }) => seen.push(`fault ${moment}`));
  const port = injector.port('intake', {
    limit: 7,
    async claimWarm(name: string) {
      seen.push(`begin ${name}`);
      await sleep(50);
      seen.push(`end ${name}`);
      return name;
    },
    async stock(name: string) {
      return this.claimWarm(name);
    },
  });
  return { port, seen };
}

test.each([
  ['before', ['fault before', 'begin a', 'end a']],
  ['during', ['begin a', 'fault during', 'end a']],
  ['after', ['begin a', 'end a', 'fault after']],
] as const)('a fault happens %s its call', async (moment, order) => {
  const { port, seen } = portWith({ moment, nth: 1 });
  expect(await port.claimWarm('a')).toBe('a');
  expect(seen).toEqual(order);
});

test('a fault waits for its turn, and the next one counts from there', async () => {
  const { port, seen } = portWith({ moment: 'before', nth: 2 }, { moment: 'after', nth: 1 });
  await port.claimWarm('a');
  await port.claimWarm('b');
  await port.claimWarm('c');
  await port.claimWarm('d');
  const order = ['begin a', 'end a', 'fault before', 'begin b', 'end b', 'begin c', 'end c'];
  expect(seen).toEqual([...order, 'fault after', 'begin d', 'end d']);
});

test('other calls, fields, and calls that the port makes of itself are left alone', async () => {
  const { port, seen } = portWith({ moment: 'before', nth: 1 });
  expect(port.limit).toBe(7);
  await port.stock('a');
  expect(seen).toEqual(['begin a', 'end a']);
});

test('a container that is a handle of the daemon is a port of its own', async () => {
  const faults: Fault[] = [];
  const fault: Fault = {
    ...{ call: 'container.stop', moment: 'before', nth: 1, delay: 0, signal: 'SIGSTOP' },
  };
  const injector = new FaultInjector([fault], (item) => faults.push(item));
  const docker = injector.port('docker', {
    getContainer: (id: string) => ({ id, stop: () => Promise.resolve(id) }),
  });
  const container = docker.getContainer('c1');
  expect(container.id).toBe('c1');
  expect(await container.stop()).toBe('c1');
  expect(faults).toEqual([fault]);
});

test.each([
  ['in a row', ['begin', 'end', 'begin', 'end']],
  ['at once', ['begin', 'begin', 'end', 'end']],
] as const)('every job runs twice, %s, and the first run decides', async (how, order) => {
  const seen: string[] = [];
  let runs = 0;
  let processor: Processor<unknown, number> | undefined;
  const { startJobWorker } = runTwice(
    {
      ...workerDependencies,
      startJobWorker: (_queue, process) => {
        processor = process as Processor;
        return undefined as never;
      },
    },
    how,
  );
  const process = async () => {
    const run = ++runs;
    seen.push('begin');
    await sleep(5);
    seen.push('end');
    if (run === 2) throw new Error('the second run fails');
    return run;
  };
  startJobWorker('queue', process, undefined as never);
  expect(await processor?.(undefined as never)).toBe(1);
  expect(seen).toEqual(order);
});
