import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { createShutdown } from './shutdown.ts';
import { createLogger } from './logger.ts';

const logger = createLogger('test', 'silent');

test('gives back in the reverse order of what was taken, once', async () => {
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

test('one release that fails keeps no other from running', async () => {
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

test('a release that takes longer than it said keeps no other from running', async () => {
  const shutdown = createShutdown(logger);
  const released: string[] = [];
  shutdown.onShutdown('last', () => released.push('last'));
  shutdown.onShutdown('hangs', () => new Promise(() => undefined), 20);
  await shutdown.stop();
  expect(released).toEqual(['last']);
});

/** An app in a process of its own, whose one release takes as long as it is let. */
function start(release: string) {
  const code = `
    const { createLifetime } = await import(${JSON.stringify(join(import.meta.dirname, 'shutdown.ts'))});
    const log = { info() {}, error() {} };
    const lifetime = createLifetime(log);
    lifetime.onStop('work', async () => { console.log('releasing'); ${release}; console.log('released'); });
    setInterval(() => {}, 1000);
    console.log('up');
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code]);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  onTestFinished(() => void child.kill('SIGKILL'));
  const says = (word: string) => waitFor(word, () => output.includes(word));
  return { child, says, exited, output: () => output };
}

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s gives everything back and ends with 0',
  async (signal) => {
    const { child, says, exited, output } = start('await 0');
    await says('up');
    child.kill(signal);
    expect(await exited).toBe(0);
    expect(output()).toContain('released');
  },
);

test('a second signal forces', async () => {
  const { child, says, exited, output } = start('await new Promise(() => {})');
  await says('up');
  child.kill('SIGTERM');
  await says('releasing');
  child.kill('SIGTERM');
  expect(await exited).toBe(1);
  expect(output()).not.toContain('released');
});
