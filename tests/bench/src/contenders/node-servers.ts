import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '@ephemera/test-support';
import { surroundings } from '../config.ts';
import { CORES } from '../cores.ts';
import { startProcess } from '../processes.ts';
import type { Contender } from './contender.ts';

const servers = join(import.meta.dirname, '../servers');

/** A server of the benchmark on the same Node.js version as the product. */
function nodeServer(name: string, file: string): Contender {
  return {
    name,
    async start({ dir, instances, redisUrl }) {
      const port = await freePort();
      const routes = join(dir, `${file}.json`);
      const targets = instances.map((i) => [i.id, { host: i.address, port: i.port }]);
      writeFileSync(routes, JSON.stringify(Object.fromEntries(targets)));
      const process = await startProcess({
        core: CORES.contender,
        command: [globalThis.process.execPath, join(servers, file), String(port), routes, redisUrl],
        env: { ...surroundings, NODE_ENV: 'production' },
        ready: { host: '127.0.0.1', port },
      });
      return { port, process };
    },
  };
}

export const httpProxy = nodeServer('http-proxy', 'http-proxy-server.ts');
export const koaRedis = nodeServer('Koa + Redis GET + http-proxy', 'koa-redis-server.ts');
export const undiciDispatch = nodeServer('undici dispatch, bare', 'undici-server.ts');
