import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
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

/** An app in a process of its own, whose one release takes as long as it is let. */
function start(release: string) {
  const code = `
    const { createLifetime } = await import(${JSON.stringify(join(import.meta.dirname, 'lifetime.ts'))});
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
