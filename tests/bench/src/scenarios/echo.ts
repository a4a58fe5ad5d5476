import { join } from 'node:path';
import { freePort } from '@ephemera/test-support';
import type { Scenario } from '../bench.ts';
import { surroundings } from '../config.ts';
import { ephemera } from '../contenders/ephemera.ts';
import { haproxyTuned } from '../contenders/haproxy.ts';
import { nginxGroups } from '../contenders/nginx.ts';
import { httpProxy } from '../contenders/node-servers.ts';
import { CORES } from '../cores.ts';
import { makeInstances, pathOf } from '../instances.ts';
import type { EchoOptions, EchoResult } from '../loads/echo-load.ts';
import { runLoad } from '../loads/run-load.ts';
import { startProcess } from '../processes.ts';
import { compare, interleave, rowsOf } from '../rounds.ts';
import { costs, startAll, underLoad } from './running.ts';

const CONNECTIONS = 64;

export const echo: Scenario = {
  name: 'echo',
  title: 'WebSocket echo of 64 bytes, 64 connections',
  async run(bench) {
    await using stack = new AsyncDisposableStack();
    const [upstream] = makeInstances(1, await freePort());
    if (upstream === undefined) throw new Error('no instance was created');
    const file = join(import.meta.dirname, '../servers/echo-server.ts');
    stack.use(
      await startProcess({
        core: CORES.upstream,
        command: [process.execPath, file, String(upstream.port), upstream.address],
        env: surroundings,
        ready: { host: upstream.address, port: upstream.port },
      }),
    );
    const contenders = [ephemera, httpProxy, nginxGroups, haproxyTuned];
    const started = await startAll(bench, [upstream], contenders, stack);
    const send = async (port: number, seconds: number): Promise<EchoResult> => {
      const options: EchoOptions = {
        port,
        path: pathOf(upstream),
        connections: CONNECTIONS,
        seconds,
      };
      const found = await runLoad<EchoResult>('echo-load.ts', options);
      if (found.wrong > 0)
        throw new Error(`an echo was missing or wrong: ${JSON.stringify(found)}`);
      return found;
    };
    for (const { port } of started) await send(port, 1);
    const series = await interleave(
      bench,
      started.map((item) => ({
        name: item.name,
        measure: async () => {
          const measured = await underLoad([item.process], () => send(item.port, bench.seconds));
          const { messages, perSecond } = measured.result;
          return { 'messages/s': perSecond, ...costs(measured, messages) };
        },
      })),
    );
    const others = contenders.slice(1).map(({ name }) => name);
    return {
      figures: ['messages/s', 'CPU µs each', 'core busy %'],
      rows: rowsOf(series),
      ratios: others.flatMap((name) => {
        const reach = name === httpProxy.name ? { atLeast: 0.95 } : undefined;
        return [
          compare(series, ['Ephemera', name], 'messages/s', reach),
          compare(series, ['Ephemera', name], 'CPU µs each'),
        ];
      }),
      notes: [],
    };
  },
};
