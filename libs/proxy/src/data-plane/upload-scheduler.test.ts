import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { UploadScheduler } from './upload-scheduler.ts';

/** Takes a turn for each of so many; tells who went, in order. */
function passing(uploadScheduler: UploadScheduler, count: number) {
  const sent: number[] = [];
  const all = Array.from({ length: count }, (_, piece) => ({
    onSlot: () => void sent.push(piece),
  }));
  for (const one of all) {
    if (uploadScheduler.tryAcquire()) one.onSlot();
    else uploadScheduler.enqueue(one);
  }
  return { sent, all };
}

async function counts(sent: readonly number[], uploadScheduler: number): Promise<number[]> {
  const all = [sent.length];
  while (all.length <= uploadScheduler) {
    await turn();
    all.push(sent.length);
  }
  return all;
}

test('so many go in one turn, and the rest in the next ones, in their order', async () => {
  const { sent } = passing(new UploadScheduler(), 20);
  expect(await counts(sent, 4)).toEqual([8, 16, 20, 20, 20]);
  expect(sent).toEqual(Array.from({ length: 20 }, (_, piece) => piece));
});

test('what waits has its turn before what comes', async () => {
  const uploadScheduler = new UploadScheduler();
  passing(uploadScheduler, 16);
  await turn();
  expect(uploadScheduler.tryAcquire()).toBe(false);
  await turn();
  expect(uploadScheduler.tryAcquire()).toBe(true);
});

test('where very many wait, more go at once', async () => {
  const { sent } = passing(new UploadScheduler(), 1_608);
  expect(await counts(sent, 2)).toEqual([8, 33, 58]);
});

test('who has left has no turn', async () => {
  const uploadScheduler = new UploadScheduler();
  const { sent, all } = passing(uploadScheduler, 12);
  for (const one of all.slice(8, 11)) uploadScheduler.cancel(one);
  await turn();
  expect(sent).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 11]);
});
