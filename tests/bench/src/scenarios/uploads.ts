import { join } from 'node:path';
import { freePort } from '@ephemera/test-support';
import type { Scenario } from '../bench.ts';
import { surroundings } from '../config.ts';
import { ephemera } from '../contenders/ephemera.ts';
import { nginxGroups } from '../contenders/nginx.ts';
import { httpProxy } from '../contenders/node-servers.ts';
import { CORES } from '../cores.ts';
import { makeInstances, pathOf } from '../instances.ts';
import { runLoad } from '../loads/run-load.ts';
import type { UploadOptions, UploadResult } from '../loads/upload-load.ts';
import { startProcess } from '../processes.ts';
import { compare, interleave, rowsOf } from '../rounds.ts';
import { costs, startAll, underLoad } from './running.ts';

const SIZE = 10_000_000;
const CONNECTIONS = 4;
/**
 * Without this flag, garbage collection would slow the upstream down so much that it limits the
 * result.
 */
const COUNT_EXTERNAL_MEMORY = '--external-memory-accounted-in-global-limit';

export const uploads: Scenario = {
  name: 'uploads',
  title: 'Uploads of 10 MB, 4 connections',
  async run(bench) {
    await using stack = new AsyncDisposableStack();
    const [sink] = makeInstances(1, await freePort());
    if (sink === undefined) throw new Error('no instance was created');
    const file = join(import.meta.dirname, '../servers/sink-server.ts');
    stack.use(
      await startProcess({
        core: CORES.upstream,
        command: [process.execPath, COUNT_EXTERNAL_MEMORY, file, String(sink.port), sink.address],
        env: surroundings,
        ready: { host: sink.address, port: sink.port },
      }),
    );
    const contenders = [ephemera, httpProxy, nginxGroups];
    const started = await startAll(bench, [sink], contenders, stack);
    const upload = async (port: number, seconds: number): Promise<UploadResult> => {
      const path = pathOf(sink);
      const options: UploadOptions = { port, path, size: SIZE, connections: CONNECTIONS, seconds };
      const found = await runLoad<UploadResult>('upload-load.ts', options);
      if (found.wrong > 0) throw new Error(`an upload was incomplete: ${JSON.stringify(found)}`);
      return found;
    };
    for (const { port } of started) await upload(port, 1);
    const series = await interleave(
      bench,
      started.map((item) => ({
        name: item.name,
        measure: async () => {
          const measured = await underLoad([item.process], () => upload(item.port, bench.seconds));
          const { uploads: count, bytesPerSecond } = measured.result;
          return { 'MB/s': bytesPerSecond / 1e6, ...costs(measured, count) };
        },
      })),
    );
    return {
      figures: ['MB/s', 'CPU µs each', 'core busy %'],
      rows: rowsOf(series),
      ratios: [
        compare(series, ['Ephemera', httpProxy.name], 'MB/s', { atLeast: 1 }),
        compare(series, ['Ephemera', nginxGroups.name], 'MB/s'),
      ],
      notes: [],
    };
  },
};
