import { createMetrics } from '@ephemera/process';
import { expect, test } from 'vitest';
import { countUpstreamFailures } from './proxy-metrics.ts';

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
