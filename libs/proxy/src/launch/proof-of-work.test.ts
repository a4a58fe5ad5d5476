import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { makeChallenge, readWork } from './proof-of-work.ts';
import { createSigningKeys } from '@ephemera/config';

const keys = createSigningKeys(() => ['0123456789abcdef0123456789abcdef']);
const task = { template: 'demo', bits: 10, clientKey: '192.0.2.7' };
const NOW = 1_800_000_000_000;

/** Runs the page's own script on a challenge. Returns the proof of work that it submits. */
function solve(challenge: string, bits: number): string {
  const form = {
    dataset: { challenge, bits: String(bits) },
    action: 'http://demos.example/demo/new?template=demo',
    submit: () => undefined,
  };
  const later: (() => void)[] = [];
  runInNewContext(readFileSync(new URL('./solve.js', import.meta.url), 'utf8'), {
    document: { querySelector: () => form },
    setTimeout: (step: () => void) => later.push(step),
    URL,
  });
  for (let step = later.shift(); step; step = later.shift()) step();
  const { searchParams } = new URL(form.action);
  expect(searchParams.get('template')).toBe('demo');
  return searchParams.get('work') ?? '';
}

test('the solution of the page is good for one instance', () => {
  const work = solve(makeChallenge(keys, task, NOW), task.bits);
  const voucher = readWork(keys, work, task, NOW + 1);
  expect(voucher).toMatchObject({ kind: 'work', max: 1, expiresAt: NOW + 600_000 });
  expect(readWork(keys, work, task, NOW + 2)).toEqual(voucher);
});

test('a solution is invalid for another template or address, with fewer bits, expired or changed', () => {
  const challenge = makeChallenge(keys, task, NOW);
  const work = solve(challenge, task.bits);
  const later = work.replace(/^\d+/, String(NOW + 10_000_000));
  for (const [input, other, now] of [
    [work, { ...task, template: 'other' }, NOW],
    [work, { ...task, clientKey: '192.0.2.8' }, NOW],
    [work, { ...task, bits: 9 }, NOW],
    [work, { ...task, bits: 20 }, NOW],
    [work, task, NOW + 600_000],
    [later, task, NOW],
    [challenge, task, NOW],
    [`${challenge}:`, task, NOW],
    [`${work} `, task, NOW],
    ['', task, NOW],
  ] as const) {
    expect(readWork(keys, input, other, now), input).toBe(undefined);
  }
});

test('a wrong number is refused', () => {
  const challenge = makeChallenge(keys, { ...task, bits: 28 }, NOW);
  const tried = Array.from({ length: 200 }, (_, number) =>
    readWork(keys, `${challenge}:${number}`, { ...task, bits: 28 }, NOW),
  );
  expect(tried.filter(Boolean)).toEqual([]);
});
