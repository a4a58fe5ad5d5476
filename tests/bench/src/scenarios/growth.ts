import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import type { Bench, Scenario } from '../bench.ts';
import { startReplica } from '../contenders/ephemera.ts';
import { makeInstances, pathOf } from '../instances.ts';
import type { Instance } from '../instances.ts';
import { fillCache } from '../loads/fill-cache.ts';
import { wrk } from '../loads/wrk.ts';
import type { Process } from '../processes.ts';
import { publishRoutes } from '../publish-routes.ts';
import { measureRoutes } from '../route-memory.ts';
import { compare, interleave, rowsOf } from '../rounds.ts';
import { costs, underLoad } from './running.ts';

const MANY = 100_000;
const CONNECTIONS = 64;

interface Held {
  readonly port: number;
  readonly process: Process;
  readonly instances: readonly Instance[];
}

/** Proxies with 1, 200 and 100,000 routes in memory, and requests for the same few routes. */
export const growth: Scenario = {
  name: 'growth',
  title: 'From 1 route to 100,000, all in the memory of the proxy',
  async run(bench) {
    await using stack = new AsyncDisposableStack();
    const one = stack.use(await hold(bench, 1));
    const some = stack.use(await hold(bench, 200));
    const many = stack.use(await hold(bench, MANY));
    const loads = [
      { name: '1 route, 1 in use', on: one, used: 1 },
      { name: '100,000 routes, 1 in use', on: many, used: 1 },
      { name: '200 routes, 200 in use', on: some, used: 200 },
      { name: '100,000 routes, 200 in use', on: many, used: 200 },
    ].map(({ name, on, used }) => ({
      name,
      process: on.process,
      load: {
        dir: bench.dir,
        port: on.port,
        connections: CONNECTIONS,
        paths: on.instances.slice(0, used).map((instance) => pathOf(instance)),
      },
    }));
    for (const { load } of loads) await wrk({ ...load, seconds: 2, check: true });
    const series = await interleave(
      bench,
      loads.map(({ name, process, load }) => ({
        name,
        measure: async () => {
          const measured = await underLoad([process], () =>
            wrk({ ...load, seconds: bench.seconds }),
          );
          const { requests, perSecond } = measured.result;
          return { 'requests/s': perSecond, ...costs(measured, requests) };
        },
      })),
    );
    const { heap, inRedis, valueLength } = await measureRoutes(bench.redisUrl, MANY);
    const flat = { atLeast: 0.95 };
    return {
      figures: ['requests/s', 'CPU µs each', 'core busy %'],
      rows: rowsOf(series),
      ratios: [
        compare(series, ['100,000 routes, 1 in use', '1 route, 1 in use'], 'requests/s', flat),
        compare(
          series,
          ['100,000 routes, 200 in use', '200 routes, 200 in use'],
          'requests/s',
          flat,
        ),
      ],
      notes: [
        `A cached route takes ${heap.toFixed(0)} bytes of heap (mean of 100,000).`,
        `A route in Redis takes ${inRedis.toFixed(0)} bytes, of which ${valueLength} are its value.`,
      ],
    };
  },
};

async function hold(bench: Bench, count: number): Promise<Held & AsyncDisposable> {
  const namespace = `bench-${randomBytes(4).toString('hex')}`;
  const port = bench.instances[0]?.port ?? 0;
  // There are 200 upstreams. Routes share them; each of the first 200 routes has its own.
  const instances = makeInstances(count, port).map((instance, index) => ({
    ...instance,
    address: `127.0.1.${(index % 200) + 1}`,
    number: String((index % 200) + 1).padStart(3, '0'),
  }));
  const redis = new Redis(bench.redisUrl);
  await publishRoutes(redis, namespace, instances).finally(() => redis.disconnect());
  const replica = await startReplica(bench, { namespace });
  await fillCache(replica.port, instances);
  return {
    ...replica,
    instances,
    [Symbol.asyncDispose]: () => replica.process[Symbol.asyncDispose](),
  };
}
