import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { FairTurns } from './fair-turns.ts';

test('so many go in one turn, and the rest in the next ones, in their order', async () => {
  const turns = new FairTurns();
  const sent: number[] = [];
  const waited: number[] = [];
  for (let piece = 0; piece < 20; piece++) {
    const isSent = turns.pass((hasWaited) => {
      sent.push(piece);
      if (hasWaited) waited.push(piece);
    });
    expect(isSent).toBe(piece < 8);
  }
  const counts = [sent.length];
  for (let i = 0; i < 4; i++) {
    await turn();
    counts.push(sent.length);
  }
  expect(counts).toEqual([8, 16, 20, 20, 20]);
  expect(sent).toEqual(Array.from({ length: 20 }, (_, piece) => piece));
  expect(waited).toEqual(sent.slice(8));
});

test('what waits has its turn before what comes', async () => {
  const turns = new FairTurns();
  const pass = () => turns.pass(() => undefined);
  for (let i = 0; i < 16; i++) pass();
  await turn();
  expect(pass()).toBe(false);
  await turn();
  expect(pass()).toBe(true);
});
