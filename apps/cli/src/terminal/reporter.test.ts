import { expect, test } from 'vitest';

import { createReporter } from './reporter.ts';

function record(isTTY: boolean, now: () => number = () => 0) {
  let text = '';
  const screen = { isTTY, columns: 40, write: (more: string) => (text += more) };
  return { report: createReporter(screen, now), shown: () => text };
}

test('a log gets one line per step, with its last note', async () => {
  const { report, shown } = record(false);
  const value = await report.step('Docker', (onProgress) => {
    onProgress('looking');
    onProgress('Docker 20.10');
    return Promise.resolve(7);
  });
  expect(value).toBe(7);
  expect(shown()).toBe('  ✓ Docker: Docker 20.10\n');
});

test('a log gets a note of a long step every few seconds only', async () => {
  let now = 0;
  const { report, shown } = record(false, () => now);
  await report.step('Install', (onProgress) => {
    for (const percent of [10, 20, 30, 40, 50]) {
      now += 1_000;
      onProgress(`${percent} %`);
    }
    return Promise.resolve();
  });
  expect(shown()).toBe('  … Install: 40 %\n  ✓ Install: 50 % (5.0 s)\n');
});

test('a failed step is marked, and its error is rethrown', async () => {
  const { report, shown } = record(false);
  await expect(report.step('Redis', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(shown()).toBe('  ✗ Redis\n');
});

test('a terminal keeps one line, cut to its width, below other output', async () => {
  const { report, shown } = record(true);
  await report.step('Build', (onProgress) => {
    onProgress('x'.repeat(100));
    report.warn('careful');
    return Promise.resolve();
  });
  const lines = shown().split(/\r\u001b\[2K|\n/);
  expect(lines.every((line) => line.replaceAll(/\u001b\[\d+m/g, '').length <= 111)).toBe(true);
  expect(shown()).toContain('careful\n');
  expect(lines.find((line) => line.startsWith('  … Build: x'))).toHaveLength(39);
});

test('a terminal gets the output of other programs without control characters', async () => {
  const { report, shown } = record(true);
  const evil = 'a\u001b[2J\u009b2J\rb';
  await report.step(evil, (onProgress) => {
    onProgress(evil);
    report.warn(evil);
    report.say(evil);
    report.done(evil, evil);
    return Promise.resolve();
  });
  await expect(report.step(evil, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  const own = /\r\u001b\[2K|\u001b\[\d+m|\n/g;
  expect(shown().replaceAll(own, '')).not.toMatch(/[\0-\x1f\x7f-\x9f]/);
});
