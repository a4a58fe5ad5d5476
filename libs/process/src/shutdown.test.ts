import { expect, test } from 'vitest';
import { createShutdown } from './shutdown.ts';
import { createLogger } from './logger.ts';

const logger = createLogger('test', 'silent');

test('releases run once, in reverse order of registration', async () => {
  const shutdown = createShutdown(logger);
  const released: string[] = [];
  for (const what of ['redis', 'queue', 'server']) {
    shutdown.onShutdown(what, async () => {
      await Promise.resolve();
      released.push(what);
    });
  }
  expect(shutdown.stopping).toBe(false);
  const stopped = shutdown.stop();
  expect(shutdown.stopping).toBe(true);
  await Promise.all([stopped, shutdown.stop()]);
  expect(released).toEqual(['server', 'queue', 'redis']);
});

test('a release that fails does not prevent the others', async () => {
  const shutdown = createShutdown(logger);
  const released: string[] = [];
  shutdown.onShutdown('last', () => released.push('last'));
  shutdown.onShutdown('broken', () => Promise.reject(new Error('broken')));
  shutdown.onShutdown('broken at once', () => {
    throw new Error('broken');
  });
  shutdown.onShutdown('first', () => released.push('first'));
  await shutdown.stop();
  expect(released).toEqual(['first', 'last']);
});

test('a release that exceeds its timeout does not prevent the others', async () => {
  const shutdown = createShutdown(logger);
  const released: string[] = [];
  shutdown.onShutdown('last', () => released.push('last'));
  shutdown.onShutdown('hangs', () => new Promise(() => undefined), 20);
  await shutdown.stop();
  expect(released).toEqual(['last']);
});

test('once a release has timed out, the others get little time', async () => {
  const shutdown = createShutdown(logger);
  const hang = () => new Promise(() => undefined);
  const released: string[] = [];
  shutdown.onShutdown('last', () => released.push('last'));
  for (const what of ['queues', 'registration']) shutdown.onShutdown(what, hang);
  shutdown.onShutdown('jobs', hang, 20);
  await shutdown.stop();
  expect(released).toEqual(['last']);
});
