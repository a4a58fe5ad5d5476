import type { Bench, Outcome, Ratio } from '../bench.ts';
import type { Contender } from '../contenders/contender.ts';
import { pathOf } from '../instances.ts';
import type { Instance } from '../instances.ts';
import { wrk } from '../loads/wrk.ts';
import { compare, type Figures, interleave, rowsOf, type Reach } from '../rounds.ts';
import { SMALL } from '../upstreams.ts';
import { verify } from '../verify.ts';
import { costs, type Started, startAll, underLoad } from './running.ts';

const CONNECTIONS = 64;
/** Lets the JIT compilers finish before the measurement. */
const WARM_UP_SECONDS = 2;
const MIB = 1024 * 1024;
const RESIDENT = 'MiB resident after the load';

/** Maximum throughput over 64 keep-alive connections with responses of 1 KiB. */
export async function throughput(
  bench: Bench,
  instances: readonly Instance[],
  contenders: readonly Contender[],
  reaches: Readonly<Record<string, Reach>>,
): Promise<Outcome> {
  await using stack = new AsyncDisposableStack();
  const started = await startAll(bench, instances, contenders, stack);
  const paths = instances.map((instance) => pathOf(instance));
  const load = { dir: bench.dir, paths, connections: CONNECTIONS };
  for (const { name, port } of started) {
    await verify(port, instances);
    const seconds = WARM_UP_SECONDS;
    const { requests } = await wrk({ ...load, port, seconds, check: true });
    bench.say(`  ${name}: ${requests} responses checked, all correct`);
  }
  const series = await interleave(
    bench,
    started.map(({ name, port, process }) => ({
      name,
      measure: async () => {
        const measured = await underLoad([process], () =>
          wrk({ ...load, port, seconds: bench.seconds }),
        );
        const { requests, perSecond, bytesEach, p99 } = measured.result;
        if (bytesEach < SMALL) throw new Error(`${name} returned incomplete responses`);
        return { 'requests/s': perSecond, ...costs(measured, requests), 'p99 µs': p99 };
      },
    })),
  );
  for (const { port } of started) await verify(port, instances);
  return {
    figures: ['requests/s', 'CPU µs each', 'core busy %', 'p99 µs'],
    rows: rowsOf(series),
    ratios: [
      ...contenders
        .slice(1)
        .map(({ name }) => compare(series, ['Ephemera', name], 'requests/s', reaches[name])),
      memory(started, 'Ephemera', 'http-proxy'),
    ],
    notes: [],
  };
}

/** Ratio of the resident memory after the load. */
function memory(started: readonly Started[], name: string, other: string): Ratio {
  const of = (contender: string): [string, Figures[]] => {
    const process = started.find((item) => item.name === contender)?.process;
    return [contender, [{ [RESIDENT]: (process?.resident() ?? Number.NaN) / MIB }]];
  };
  return compare(new Map([of(name), of(other)]), [name, other], RESIDENT, { atMost: 1.3 });
}
