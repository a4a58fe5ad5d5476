import { setImmediate as nextTick } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { UploadScheduler } from './upload.ts';

/** Schedules `count` uploads; `sent` lists those that got their slot, in order. */
function schedule(scheduler: UploadScheduler, count: number) {
  const sent: number[] = [];
  const uploads = Array.from({ length: count }, (_, index) => ({
    onSlot: () => void sent.push(index),
  }));
  for (const upload of uploads) {
    if (scheduler.tryAcquire()) upload.onSlot();
    else scheduler.enqueue(upload);
  }
  return { sent, uploads };
}

/** Returns how many were sent by the end of each of the next ticks. */
async function sentPerTick(sent: readonly number[], ticks: number): Promise<number[]> {
  const all = [sent.length];
  while (all.length <= ticks) {
    await nextTick();
    all.push(sent.length);
  }
  return all;
}

test('eight chunks are sent per tick, and the rest in the next ticks, in order', async () => {
  const { sent } = schedule(new UploadScheduler(), 20);
  expect(await sentPerTick(sent, 4)).toEqual([8, 16, 20, 20, 20]);
  expect(sent).toEqual(Array.from({ length: 20 }, (_, index) => index));
});

test('waiting chunks are sent before new ones', async () => {
  const scheduler = new UploadScheduler();
  schedule(scheduler, 16);
  await nextTick();
  expect(scheduler.tryAcquire()).toBe(false);
  await nextTick();
  expect(scheduler.tryAcquire()).toBe(true);
});

test('a large backlog is sent in larger batches', async () => {
  const { sent } = schedule(new UploadScheduler(), 1_608);
  expect(await sentPerTick(sent, 2)).toEqual([8, 33, 58]);
});

test('a cancelled upload gets no slot', async () => {
  const scheduler = new UploadScheduler();
  const { sent, uploads } = schedule(scheduler, 12);
  for (const upload of uploads.slice(8, 11)) scheduler.cancel(upload);
  await nextTick();
  expect(sent).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 11]);
});
