import { stat } from 'node:fs/promises';
import { deploy, waitFor } from '@ephemera/test-support';
import type { Deployment } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type HostView, inspectContainer } from '../src/hogs/container.ts';
import { LIMITS, hogTemplates } from '../src/hogs/hogs.ts';
import { ask, start } from '../src/hogs/neighbour.ts';

// An instance that uses all of its resources stays within its limits, and another one still
// responds. The slowdown needs a quiet machine: `npm run test:adversary -- hogs`.

/** The default period of the CPU quota, seconds. */
const PERIOD = 0.01;

let site: Deployment;
let neighbour: string;
let hog: string | undefined;

beforeAll(async () => {
  site = await deploy({ templates: hogTemplates() });
  neighbour = await start(site, 'neighbour');
});
afterAll(() => site.stop());
afterEach(async () => {
  expect(await ask(site, neighbour)).toBe(neighbour);
  const shown = await (await site.api('GET', `/v1/instances/${hog ?? ''}`)).json();
  expect(shown).toMatchObject({ status: { state: 'ready' } });
  await site.api('DELETE', `/v1/instances/${hog ?? ''}`);
});

async function release(name: string): Promise<HostView> {
  hog = await start(site, name);
  return inspectContainer(hog);
}

test('a fork bomb is limited by the process limit', async () => {
  const { counter } = await release('processes');
  const refused = () => counter('pids', ['pids.events'], 'max');
  await waitFor('a refusal', async () => (await refused()) > 0);
  for (let i = 0; i < 20; i++) {
    expect(await counter('pids', ['pids.current'])).toBeLessThanOrEqual(LIMITS.pids);
    expect(await ask(site, neighbour)).toBe(neighbour);
  }
});

test('a process that exceeds the memory limit is killed, and the instance continues', async () => {
  const { counter, lastLines } = await release('memory');
  await waitFor('a kill', async () => (await lastLines(10)).includes('held 137'));
  const files = ['memory.events', 'memory.oom_control'];
  expect(await counter('memory', files, 'oom_kill')).toBeGreaterThan(0);
  const peak = await counter('memory', ['memory.peak', 'memory.max_usage_in_bytes']);
  expect(peak).toBeLessThanOrEqual(LIMITS.memory * 1024 ** 2);
});

test('/tmp is limited to its size', async () => {
  const { lastLines, exec } = await release('disk');
  await waitFor('a full disk', async () => (await lastLines(10)).includes('held 1'));
  // The script empties the file before it fills it again.
  await waitFor('a file of at least half the size', async () => {
    const size = Number(await exec('du -k /tmp/x | cut -f1'));
    expect(size).toBeLessThanOrEqual(LIMITS.tmp * 1024);
    return size > LIMITS.tmp * 512;
  });
});

test('a log is limited to two files of one megabyte', async () => {
  const { logPath } = await release('log');
  const size = async (path: string) => (await stat(path).catch(() => undefined))?.size ?? 0;
  await waitFor('the second file', async () => (await size(`${logPath}.1`)) > 0);
  for (let i = 0; i < 20; i++) {
    const files = [logPath, `${logPath}.1`, `${logPath}.2`];
    const [current = 0, older = 0, oldest] = await Promise.all(files.map(size));
    // The line that fills a file is written completely.
    expect(Math.max(current, older)).toBeLessThan(1_100_000);
    expect(oldest).toBe(0);
    expect(await ask(site, neighbour)).toBe(neighbour);
  }
});

test('a process has at most its limit of descriptors', async () => {
  const { lastLines } = await release('descriptors');
  await waitFor('the last one', async () => (await lastLines(10)).includes('held 16384'));
});

test('four busy processes get only the CPU share of their instance', async () => {
  const { counter } = await release('cpu');
  const stat = (name: string) => counter('cpu', ['cpu.stat'], name);
  const used = async () => (await cpuTime()) / 1e9;
  const cpuTime = () =>
    counter('cpuacct', ['cpuacct.usage']).catch(async () => (await stat('usage_usec')) * 1000);
  await waitFor('a throttling', async () => (await stat('nr_throttled')) > 2);
  const [before, periods] = [await used(), await stat('nr_periods')];
  await waitFor('a while', async () => (await stat('nr_periods')) >= periods + 100);
  // The tolerance covers the rest of the previous period, the scheduler's slices and the time
  // between two readings.
  const max = ((await stat('nr_periods')) - periods + 10) * PERIOD * LIMITS.cpus * 1.1;
  expect((await used()) - before).toBeLessThan(max);
});

test('the host can still start another instance', async () => {
  hog = await start(site, 'neighbour');
  expect(await ask(site, hog)).toBe(hog);
});
