import type { Scenario } from '../bench.ts';
import { configurableHttpProxy } from '../contenders/configurable-http-proxy.ts';
import { ephemera } from '../contenders/ephemera.ts';
import { haproxyTuned } from '../contenders/haproxy.ts';
import { nginxGroups } from '../contenders/nginx.ts';
import { httpProxy } from '../contenders/node-servers.ts';
import { pathOf } from '../instances.ts';
import type { RateOptions, RateResult } from '../loads/rate-load.ts';
import { runLoad } from '../loads/run-load.ts';
import { wrk } from '../loads/wrk.ts';
import { compare, interleave, rowsOf } from '../rounds.ts';
import { startAll } from './running.ts';

const RATE = 2_000;
const PEERS = [configurableHttpProxy.name, httpProxy.name];

/** A load that every contender can carry, sent without waiting for answers. */
export const rate: Scenario = {
  name: 'rate',
  title: `Latency at ${RATE} requests/s, 200 instances`,
  async run(bench) {
    await using stack = new AsyncDisposableStack();
    const contenders = [ephemera, configurableHttpProxy, httpProxy, nginxGroups, haproxyTuned];
    const started = await startAll(bench, bench.instances, contenders, stack);
    const paths = bench.instances.map((instance) => pathOf(instance));
    const warm = { dir: bench.dir, paths, connections: 16, seconds: 2 };
    for (const { port } of started) await wrk({ ...warm, port });
    const series = await interleave(
      bench,
      started.map(({ name, port }) => ({
        name,
        measure: async () => {
          const options: RateOptions = { port, paths, rate: RATE, seconds: bench.seconds };
          const found = await runLoad<RateResult>('rate-load.ts', options);
          if (found.wrong > 0 || found.answered !== found.sent) {
            throw new Error(`${name}: not only full, right answers: ${JSON.stringify(found)}`);
          }
          const { p50, p99, late, connections } = found;
          return { 'p50 µs': p50, 'p99 µs': p99, 'sent late p99 µs': late, connections };
        },
      })),
    );
    return {
      figures: ['p50 µs', 'p99 µs', 'sent late p99 µs', 'connections'],
      rows: rowsOf(series),
      ratios: contenders.slice(1).flatMap(({ name }) => {
        const reach = PEERS.includes(name) ? { atMost: 1 } : undefined;
        return ['p50 µs', 'p99 µs'].map((figure) =>
          compare(series, ['Ephemera', name], figure, reach),
        );
      }),
      notes: [],
    };
  },
};
