import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '@ephemera/test-support';
import { CORES } from '../cores.ts';
import { startProcess } from '../processes.ts';
import type { Contender } from './contender.ts';

/** Routes with a map, which the runtime API can change without a reload. */
function haproxy(name: string, serverOptions: string): Contender {
  return {
    name,
    async start({ dir, instances }) {
      const port = await freePort();
      const base = join(dir, name.replace(/\W+/g, '-'));
      writeFileSync(`${base}.map`, instances.map((i) => `${i.id} ${i.address}\n`).join(''));
      writeFileSync(`${base}.cfg`, config(port, `${base}.map`, instances[0]?.port, serverOptions));
      const process = await startProcess({
        core: CORES.contender,
        command: ['haproxy', '-db', '-f', `${base}.cfg`],
        ready: { host: '127.0.0.1', port },
      });
      return { port, process };
    },
  };
}

const config = (port: number, map: string, upstreamPort: number | undefined, options: string) => `
global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 2s
  timeout client 75s
  timeout server 75s
  timeout tunnel 1h
  http-reuse always
frontend public
  bind 127.0.0.1:${port} backlog 4096
  option forwardfor
  http-request set-var(txn.address) path,field(3,/),map(${map})
  default_backend instances
backend instances
  http-request set-dst var(txn.address)
  http-request set-dst-port int(${upstreamPort})
  server any 0.0.0.0:0 ${options}
`;

/** HAProxy keeps idle connections to dynamic targets only below `pool-low-conn`. */
export const haproxyTuned = haproxy('HAProxy, tuned', 'pool-low-conn 4096 pool-max-conn 4096');
export const haproxyDefault = haproxy('HAProxy, default pool', '');
