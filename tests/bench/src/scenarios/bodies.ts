import type { Scenario } from '../bench.ts';
import { ephemera } from '../contenders/ephemera.ts';
import { nginxGroups } from '../contenders/nginx.ts';
import { httpProxy } from '../contenders/node-servers.ts';
import { pathOf } from '../instances.ts';
import { wrk } from '../loads/wrk.ts';
import { compare, interleave, rowsOf } from '../rounds.ts';
import { LARGE } from '../upstreams.ts';
import { verify } from '../verify.ts';
import { costs, startAll, underLoad } from './running.ts';

const CONNECTIONS = 16;
/** Upper limit for the size of response headers, bytes. */
const HEAD = 1024;

/** Measures the throughput of responses of one size. */
function bodies(name: string, title: string): Scenario {
  return {
    name: `answers-${name}`,
    title,
    async run(bench) {
      await using stack = new AsyncDisposableStack();
      const contenders = [ephemera, nginxGroups, httpProxy];
      const port = bench.largePorts[name];
      if (port === undefined) throw new Error(`no upstream has ${name}`);
      const some = bench.instances.slice(0, CONNECTIONS).map((instance) => ({ ...instance, port }));
      const started = await startAll(bench, some, contenders, stack);
      const paths = some.map((instance) => pathOf(instance, name));
      const load = { dir: bench.dir, paths, connections: CONNECTIONS };
      const size = LARGE[name] ?? Number.NaN;
      for (const { port } of started) {
        await verify(port, some, name);
        await wrk({ ...load, port, seconds: 1 });
      }
      const series = await interleave(
        bench,
        started.map((item) => ({
          name: item.name,
          measure: async () => {
            const measured = await underLoad([item.process], () =>
              wrk({ ...load, port: item.port, seconds: bench.seconds }),
            );
            const { requests, bytesEach, bytesPerSecond } = measured.result;
            // At its end, wrk counts the bytes of incomplete responses, but not the responses.
            const max = ((size + HEAD) * (requests + CONNECTIONS)) / requests;
            if (bytesEach < size || bytesEach > max) throw new Error(`${bytesEach} bytes each`);
            return { 'MB/s': bytesPerSecond / 1e6, ...costs(measured, requests) };
          },
        })),
      );
      for (const { port } of started) await verify(port, some, name);
      return {
        figures: ['MB/s', 'CPU µs each', 'core busy %'],
        rows: rowsOf(series),
        ratios: [
          compare(series, ['Ephemera', nginxGroups.name], 'MB/s', { atLeast: 0.7 }),
          compare(series, ['Ephemera', httpProxy.name], 'MB/s'),
        ],
        notes: [],
      };
    },
  };
}

export const kilobytes = bodies('64k', 'Responses of 64 KiB, 16 connections');
export const megabytes = bodies('1m', 'Responses of 1 MiB, 16 connections');
