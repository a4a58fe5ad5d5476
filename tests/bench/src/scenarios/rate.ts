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
/**
 * In one round, p99 depends on only 30 requests, so one pause of 15 ms determines it. With twice
 * the usual number of rounds, the median is not affected by rounds with a pause.
 */
const ROUNDS = 2;
const PEERS = [configurableHttpProxy.name, httpProxy.name];

/** A fixed rate that every contender can serve, sent without waiting for responses. */
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
    const all = new Map<string, number[]>();
    const series = await interleave(
      { ...bench, rounds: ROUNDS * bench.rounds },
      started.map(({ name, port }) => ({
        name,
        measure: async () => {
          const options: RateOptions = { port, paths, rate: RATE, seconds: bench.seconds };
          const found = await runLoad<RateResult>('rate-load.ts', options);
          const { latencies, ...summary } = found;
          if (found.wrong > 0 || found.answered !== found.sent) {
            throw new Error(`${name}: some responses were wrong: ${JSON.stringify(summary)}`);
          }
          const { p50, p99, late, connections } = summary;
          all.set(name, [...(all.get(name) ?? []), ...latencies]);
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
      notes: [together(all)],
    };
  },
};

/** p99 over the requests of all rounds, which the worst rounds of a contender dominate. */
function together(all: ReadonlyMap<string, readonly number[]>): string {
  const p99 = [...all].map(([name, latencies]) => {
    const sorted = [...latencies].sort((a, b) => a - b);
    return `${name} ${sorted[Math.floor(0.99 * sorted.length)] ?? Number.NaN}`;
  });
  return `p99 µs over the requests of all rounds together: ${p99.join(', ')}.`;
}
