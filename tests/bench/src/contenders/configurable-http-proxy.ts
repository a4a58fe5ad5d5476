import { join } from 'node:path';
import { freePort } from '@ephemera/test-support';
import { surroundings } from '../config.ts';
import { CORES } from '../cores.ts';
import { rivals } from '../install.ts';
import { startProcess } from '../processes.ts';
import type { Contender } from './contender.ts';

/**
 * The proxy of JupyterHub, with its routes set over its REST API. It uses keep-alive to upstreams
 * by default.
 */
export const configurableHttpProxy: Contender = {
  name: 'configurable-http-proxy',
  async start({ instances }) {
    const port = await freePort();
    const apiPort = await freePort();
    const bin = join(rivals, 'node_modules/configurable-http-proxy/bin/configurable-http-proxy');
    const process = await startProcess({
      core: CORES.contender,
      command: [
        globalThis.process.execPath,
        bin,
        '--ip=127.0.0.1',
        `--port=${port}`,
        '--api-ip=127.0.0.1',
        `--api-port=${apiPort}`,
        '--log-level=error',
      ],
      env: { ...surroundings, NODE_ENV: 'production' },
      ready: { host: '127.0.0.1', port },
    });
    for (const { id, address, port: at } of instances) {
      const answer = await fetch(`http://127.0.0.1:${apiPort}/api/routes/demo/${id}`, {
        method: 'POST',
        body: JSON.stringify({ target: `http://${address}:${at}` }),
      });
      if (answer.status !== 201) throw new Error(`a route was refused: ${answer.status}`);
    }
    return { port, process };
  },
};
