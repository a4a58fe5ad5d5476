import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import type { Scenario } from '../bench.ts';
import { startReplica } from '../contenders/ephemera.ts';
import { CORES, HAS_SPARE_CORES } from '../cores.ts';
import { pathOf } from '../instances.ts';
import { wrk } from '../loads/wrk.ts';
import { publishRoutes } from '../publish-routes.ts';
import { compare, interleave, rowsOf } from '../rounds.ts';
import { underLoad } from './running.ts';

const CONNECTIONS = 64;
const PER_CPU = 'requests/CPU s';

/** Two replicas on a shared port, each on its own core, compared with one. */
export const replicas: Scenario = {
  name: 'replicas',
  title: 'Two replicas on one port and two cores, compared with one',
  async run(bench) {
    await using stack = new AsyncDisposableStack();
    const namespace = `bench-${randomBytes(4).toString('hex')}`;
    const redis = new Redis(bench.redisUrl);
    await publishRoutes(redis, namespace, bench.instances).finally(() => redis.disconnect());
    const alone = await startReplica(bench, { namespace });
    stack.use(alone.process);
    const first = await startReplica(bench, { namespace });
    stack.use(first.process);
    const second = await startReplica(bench, {
      namespace,
      core: CORES.second,
      port: first.port,
    });
    stack.use(second.process);
    const paths = bench.instances.map((instance) => pathOf(instance));
    const load = { dir: bench.dir, paths, connections: CONNECTIONS };
    const sides = [
      { name: 'two replicas', port: first.port, processes: [first.process, second.process] },
      { name: 'one replica', port: alone.port, processes: [alone.process] },
    ];
    for (const { port } of sides) await wrk({ ...load, port, seconds: 2, check: true });
    const series = await interleave(
      bench,
      sides.map(({ name, port, processes }) => ({
        name,
        measure: async () => {
          const measured = await underLoad(processes, () =>
            wrk({ ...load, port, seconds: bench.seconds }),
          );
          const { requests, perSecond } = measured.result;
          return { 'requests/s': perSecond, [PER_CPU]: requests / measured.cpu };
        },
      })),
    );
    const pair = ['two replicas', 'one replica'] as const;
    return {
      figures: ['requests/s', PER_CPU],
      rows: rowsOf(series),
      ratios: [
        compare(series, pair, 'requests/s', HAS_SPARE_CORES ? { atLeast: 1.7 } : undefined),
        compare(series, pair, PER_CPU),
      ],
      notes: HAS_SPARE_CORES
        ? []
        : [
            'Two cores only: wrk and the upstreams need a core themselves, so requests/s cannot ' +
              'show the throughput of two replicas. Twice the ratio of requests per CPU second ' +
              'estimates the throughput with a load from other machines.',
          ],
    };
  },
};
