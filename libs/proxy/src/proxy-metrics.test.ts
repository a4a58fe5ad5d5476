import { createMetrics } from '@ephemera/process';
import { expect, test } from 'vitest';
import { countUpstreamFailures, registerUsageMetrics } from './proxy-metrics.ts';

test('failures are counted by reason', async () => {
  const registry = createMetrics('proxy');
  const count = countUpstreamFailures(registry);
  count('bad_status_line');
  count('bad_status_line');
  count('connect_timeout');
  const metrics = await registry.metrics();
  const lines = metrics.split('\n').filter((line) => line.startsWith('ephemera_upstream_failures'));
  expect(lines.map((line) => [/reason="(\w+)"/.exec(line)?.[1], line.at(-1)])).toEqual([
    ['bad_status_line', '2'],
    ['connect_timeout', '1'],
  ]);
});

test('a scrape has the instances and pools of this moment, and only of templates that exist', async () => {
  const registry = createMetrics('proxy');
  let template = 'demo';
  let reads = 0;
  registerUsageMetrics(registry, async () => {
    await Promise.resolve();
    return [{ template, instances: ++reads, queued: reads * 10, warm: reads * 100, wanted: 7 }];
  });
  const values = async () => {
    const lines = (await registry.metrics()).split('\n');
    return lines
      .filter((line) => /^ephemera_(template|pool)_/.test(line))
      .map((line) => line.replace(/^ephemera_(\w+)\{template="(\w+)".*\} /, '$1 $2 '));
  };
  expect(await values()).toEqual([
    'template_instances demo 1',
    'template_queued_instances demo 10',
    'pool_warm_instances demo 100',
    'pool_wanted_instances demo 7',
  ]);
  template = 'notes';
  expect((await values())[1]).toBe('template_queued_instances notes 20');
  expect((await values()).filter((line) => line.includes('demo'))).toEqual([]);
});
