import { stat } from 'node:fs/promises';
import { deploy, waitFor } from '@ephemera/test-support';
import type { Deployment } from '@ephemera/test-support';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type HostView, inspectContainer } from '../src/hogs/container.ts';
import { LIMITS, hogTemplates } from '../src/hogs/hogs.ts';
import { ask, start } from '../src/hogs/neighbour.ts';

// An instance that takes all that it gets is held by its limits, and another goes on answering.
// How much longer that takes is for a quiet machine: `npm run test:adversary -- hogs`.

/** Over which CPU time is counted unless told otherwise, seconds. */
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

test('a fork bomb is refused by the bound on processes', async () => {
  const { counter } = await release('processes');
  const refused = () => counter('pids', ['pids.events'], 'max');
  await waitFor('a refusal', async () => (await refused()) > 0);
  for (let i = 0; i < 20; i++) {
    expect(await counter('pids', ['pids.current'])).toBeLessThanOrEqual(LIMITS.pids);
    expect(await ask(site, neighbour)).toBe(neighbour);
  }
});

test('who takes more memory than there is is killed inside, and the instance goes on', async () => {
  const { counter, said } = await release('memory');
  await waitFor('a kill', async () => (await said(10)).includes('held 137'));
  const files = ['memory.events', 'memory.oom_control'];
  expect(await counter('memory', files, 'oom_kill')).toBeGreaterThan(0);
  const peak = await counter('memory', ['memory.peak', 'memory.max_usage_in_bytes']);
  expect(peak).toBeLessThanOrEqual(LIMITS.memory * 1024 ** 2);
});

test('/tmp is as large as it may be', async () => {
  const { said, exec } = await release('disk');
  await waitFor('a full disk', async () => (await said(10)).includes('held 1'));
  // It is emptied before it is filled again.
  await waitFor('a file that is half as large at least', async () => {
    const size = Number(await exec('du -k /tmp/x | cut -f1'));
    expect(size).toBeLessThanOrEqual(LIMITS.tmp * 1024);
    return size > LIMITS.tmp * 512;
  });
});

test('a log is kept in two files of a megabyte', async () => {
  const { logPath } = await release('log');
  const size = async (path: string) => (await stat(path).catch(() => undefined))?.size ?? 0;
  await waitFor('the second file', async () => (await size(`${logPath}.1`)) > 0);
  for (let i = 0; i < 20; i++) {
    const files = [logPath, `${logPath}.1`, `${logPath}.2`];
    const [current = 0, older = 0, oldest] = await Promise.all(files.map(size));
    // The line that fills a file is written whole.
    expect(Math.max(current, older)).toBeLessThan(1_100_000);
    expect(oldest).toBe(0);
    expect(await ask(site, neighbour)).toBe(neighbour);
  }
});

test('a process has as many descriptors as it may have', async () => {
  const { said } = await release('descriptors');
  await waitFor('the last one', async () => (await said(10)).includes('held 16384'));
});

test('four that never sleep get the share of the processor that their instance has', async () => {
  const { counter } = await release('cpu');
  const stat = (name: string) => counter('cpu', ['cpu.stat'], name);
  const used = async () => (await cpuTime()) / 1e9;
  const cpuTime = () =>
    counter('cpuacct', ['cpuacct.usage']).catch(async () => (await stat('usage_usec')) * 1000);
  await waitFor('a throttling', async () => (await stat('nr_throttled')) > 2);
  const [before, periods] = [await used(), await stat('nr_periods')];
  await waitFor('a while', async () => (await stat('nr_periods')) >= periods + 100);
  // What is left of the period before, of the clock's slices and between two readings comes on top.
  const max = ((await stat('nr_periods')) - periods + 10) * PERIOD * LIMITS.cpus * 1.1;
  expect((await used()) - before).toBeLessThan(max);
});

test('and the host starts another', async () => {
  hog = await start(site, 'neighbour');
  expect(await ask(site, hog)).toBe(hog);
});
