import type { Scenario } from '../bench.ts';
import { configurableHttpProxy } from '../contenders/configurable-http-proxy.ts';
import { ephemera } from '../contenders/ephemera.ts';
import { haproxyTuned } from '../contenders/haproxy.ts';
import { nginxGroups } from '../contenders/nginx.ts';
import { httpProxy } from '../contenders/node-servers.ts';
import { pathOf } from '../instances.ts';
import { wrk } from '../loads/wrk.ts';
import { compare, interleave, rowsOf } from '../rounds.ts';
import { startAll } from './running.ts';

/** One connection and one request at a time. */
export const latency: Scenario = {
  name: 'latency',
  title: 'Latency without load: one connection, one request at a time',
  async run(bench) {
    await using stack = new AsyncDisposableStack();
    const contenders = [ephemera, nginxGroups, haproxyTuned, httpProxy, configurableHttpProxy];
    const started = await startAll(bench, bench.instances, contenders, stack);
    const paths = bench.instances.map((instance) => pathOf(instance));
    const load = { dir: bench.dir, paths };
    for (const { port } of started) await wrk({ ...load, port, connections: 16, seconds: 2 });
    const series = await interleave(
      bench,
      started.map(({ name, port }) => ({
        name,
        measure: async () => {
          const { p50, p99 } = await wrk({ ...load, port, connections: 1, seconds: bench.seconds });
          return { 'p50 µs': p50, 'p99 µs': p99 };
        },
      })),
    );
    return {
      figures: ['p50 µs', 'p99 µs'],
      rows: rowsOf(series),
      ratios: contenders.slice(1).map(({ name }) => {
        const reach = name === nginxGroups.name ? { atMost: 1.25 } : undefined;
        return compare(series, ['Ephemera', name], 'p50 µs', reach);
      }),
      notes: [],
    };
  },
};
