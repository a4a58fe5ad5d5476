import type { Ratio, Scenario } from '../bench.ts';
import { ephemera, unmeasured } from '../contenders/ephemera.ts';
import { pathOf } from '../instances.ts';
import { wrk } from '../loads/wrk.ts';
import { rowsOf, type Figures, type Series } from '../rounds.ts';
import { verify } from '../verify.ts';
import { costs, startAll, underLoad } from './running.ts';

const PAIRS = 10;
const MAX_RATIO = 1.05;
const FIGURE = 'CPU µs each';
/** Student's t for a bound of 95 % on one side and PAIRS - 1 degrees of freedom. */
const T_95 = 1.833;

/**
 * CPU time per request with the metrics of requests and without. Both proxies of a pair are under
 * load at the same time on the same core, so that whatever else slows the machine slows both.
 */
export const metrics: Scenario = {
  name: 'metrics',
  title: 'Cost of the metrics: 200 instances, 32 connections to each of two proxies',
  async run(bench) {
    await using stack = new AsyncDisposableStack();
    const started = await startAll(bench, bench.instances, [ephemera, unmeasured], stack);
    const paths = bench.instances.map((instance) => pathOf(instance));
    const load = { dir: bench.dir, paths, connections: 32 };
    for (const { port } of started) {
      await verify(port, bench.instances);
      await wrk({ ...load, port, seconds: 2, check: true });
    }
    const series = new Map<string, Figures[]>(started.map(({ name }) => [name, []]));
    for (let pair = 0; pair < PAIRS && performance.now() < bench.until; pair++) {
      await Promise.all(
        started.map(async ({ name, port, process }) => {
          const measured = await underLoad([process], () =>
            wrk({ ...load, port, seconds: bench.seconds }),
          );
          series.get(name)?.push(costs(measured, measured.result.requests));
        }),
      );
    }
    return {
      figures: [FIGURE, 'core busy %'],
      rows: rowsOf(series),
      ratios: [upperBound(series)],
      notes: ['The ratio is the upper bound of 95 % of the mean over the pairs.'],
    };
  },
};

/** @returns a ratio that was not reached if a pair is missing */
export function upperBound(series: Series): Ratio {
  const [measured = [], plain = []] = [ephemera, unmeasured].map(({ name }) =>
    (series.get(name) ?? []).map((figures) => figures[FIGURE] ?? Number.NaN),
  );
  const ratios = measured.map((value, pair) => value / (plain[pair] ?? Number.NaN));
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  const squares = ratios.reduce((sum, ratio) => sum + (ratio - mean) ** 2, 0);
  const ratio = mean + T_95 * Math.sqrt(squares / (PAIRS - 1) / PAIRS);
  return {
    figure: FIGURE,
    against: unmeasured.name,
    ratio,
    lowest: Math.min(...ratios),
    highest: Math.max(...ratios),
    reach: `≤ ${MAX_RATIO}`,
    isReached: ratios.length === PAIRS && ratio <= MAX_RATIO,
  };
}
