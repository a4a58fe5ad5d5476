import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, expect, test, vi } from 'vitest';

import { onStopSignals, Stopped } from './stop-signals.ts';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const before = new Map(signals.map((signal) => [signal, process.listeners(signal)]));
afterEach(() => {
  for (const signal of signals) {
    const own = process.listeners(signal).filter((item) => !before.get(signal)?.includes(item));
    for (const listener of own) process.off(signal, listener);
  }
});

test('the first signal stops; a second one forces, except SIGHUP', async () => {
  const [note, force] = [vi.fn(), vi.fn()];
  const stop = onStopSignals(note, force);
  process.emit('SIGINT', 'SIGINT');
  // npm forwards the signal that the terminal has sent to the whole group.
  process.emit('SIGINT', 'SIGINT');
  expect(stop.reason).toBeInstanceOf(Stopped);
  await sleep(600);
  process.emit('SIGHUP', 'SIGHUP');
  expect(force).not.toHaveBeenCalled();
  process.emit('SIGTERM', 'SIGTERM');
  expect(force).toHaveBeenCalledOnce();
  expect(note).toHaveBeenCalledOnce();
});
