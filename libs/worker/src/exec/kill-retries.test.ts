import { expect, test, vi } from 'vitest';
import { ContainerPausedError } from '../docker/exec-processes.ts';
import { KillRetries } from './kill-retries.ts';

/** A kill that fails with the given errors, and then succeeds. */
function failing(...errors: readonly Error[]) {
  const left = [...errors];
  return vi.fn(() => {
    const error = left.shift();
    return error ? Promise.reject(error) : Promise.resolve();
  });
}

const error = new Error('processes are left');
const ignore = () => undefined;

test('a kill is tried a limited number of times', async () => {
  const retries = new KillRetries(3, 0);
  const kill = failing(error, error, error);
  for (let i = 0; i < 5; i++) expect(await retries.try(kill, ignore)).toBe(false);
  expect(retries.areOver).toBe(true);
  expect(kill).toHaveBeenCalledTimes(3);
});

test('a success starts the count again', async () => {
  const retries = new KillRetries(2, 0);
  const first = failing(error);
  expect(await retries.try(first, ignore)).toBe(false);
  expect(await retries.try(first, ignore)).toBe(true);
  const second = failing(error);
  expect(await retries.try(second, ignore)).toBe(false);
  expect(retries.areOver).toBe(false);
});

test('a paused container does not count', async () => {
  const retries = new KillRetries(1, 0);
  const paused = new ContainerPausedError('paused');
  const kill = failing(paused, paused, paused);
  for (let i = 0; i < 3; i++) expect(await retries.try(kill, ignore)).toBe(false);
  expect(retries.areOver).toBe(false);
  expect(await retries.try(kill, ignore)).toBe(true);
});
