import type { Instance } from '@ephemera/domain';
import { expect, test } from 'vitest';
import { viewStart } from './start-events.ts';

const instance = (message: string, state: Instance['state'] = 'pending') =>
  ({ message, state }) as Instance;
const starting = { state: 'starting', generation: 1 } as const;

test('the bar never moves back, with or without a pull', () => {
  const withPull = [
    viewStart({ state: 'pending', generation: 1 }, undefined),
    viewStart(starting, undefined),
    viewStart({ ...starting, step: 'pulling' }, undefined),
    viewStart({ ...starting, step: 'pulling', done: 0.5 }, undefined),
    viewStart({ ...starting, step: 'pulling', done: 1 }, undefined),
    viewStart({ ...starting, step: 'creating' }, undefined),
    viewStart({ ...starting, step: 'starting' }, undefined),
    viewStart({ ...starting, step: 'probing' }, undefined),
  ].map(({ percent }) => percent);
  expect(withPull).toEqual([...withPull].sort((a, b) => a - b));
  expect(withPull.at(-1)).toBeLessThan(100);
});

test('the text is a sentence, from the instance’s message or the default', () => {
  const pending = { state: 'pending', generation: 1 } as const;
  expect(viewStart(pending, undefined).text).toBe('Waiting for a host to start it.');
  expect(viewStart(pending, instance('queued at position 2 of 5')).text).toBe(
    'Queued at position 2 of 5.',
  );
});

test('a visitor does not learn the name of the image or its registry', () => {
  const pulling = { ...starting, step: 'pulling', done: 0.341 } as const;
  const message = 'Pulling the image registry.example/app (34 %).';
  expect(viewStart(pulling, instance(message))).toMatchObject({
    step: 'pulling',
    text: 'Pulling the image (34 %).',
  });
  expect(viewStart(starting, instance(message)).text).toBe('Creating the container.');
  // The instance may have left the state that its route had a moment ago.
  const pending = { state: 'pending', generation: 1 } as const;
  for (const state of ['starting', 'failed', 'draining'] as const)
    expect(viewStart(pending, instance(message, state)).text).toBe(
      'Waiting for a host to start it.',
    );
});
