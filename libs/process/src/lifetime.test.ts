import { expect, test } from 'vitest';
import { createLifetime } from './lifetime.ts';
import { createLogger } from './logger.ts';

const logger = createLogger('test', 'silent');

test('gives back in the reverse order of what was taken, once', async () => {
  const lifetime = createLifetime(logger);
  const released: string[] = [];
  for (const what of ['redis', 'queue', 'server']) {
    lifetime.onStop(what, async () => {
      await Promise.resolve();
      released.push(what);
    });
  }
  expect(lifetime.stopping).toBe(false);
  const stopped = lifetime.stop();
  expect(lifetime.stopping).toBe(true);
  await Promise.all([stopped, lifetime.stop()]);
  expect(released).toEqual(['server', 'queue', 'redis']);
});

test('one release that fails keeps no other from running', async () => {
  const lifetime = createLifetime(logger);
  const released: string[] = [];
  lifetime.onStop('last', () => released.push('last'));
  lifetime.onStop('broken', () => Promise.reject(new Error('broken')));
  lifetime.onStop('broken at once', () => {
    throw new Error('broken');
  });
  lifetime.onStop('first', () => released.push('first'));
  await lifetime.stop();
  expect(released).toEqual(['first', 'last']);
});

test('a release that takes longer than it said keeps no other from running', async () => {
  const lifetime = createLifetime(logger);
  const released: string[] = [];
  lifetime.onStop('last', () => released.push('last'));
  lifetime.onStop('hangs', () => new Promise(() => undefined), 20);
  await lifetime.stop();
  expect(released).toEqual(['last']);
});
