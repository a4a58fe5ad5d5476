import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '@ephemera/test-support';
import { CORES } from '../cores.ts';
import { startProcess } from '../processes.ts';
import type { Contender } from './contender.ts';

/** One handler per instance, upstream keep-alive, no access log, and one core. */
export const caddy: Contender = {
  name: 'Caddy',
  async start({ dir, instances }) {
    const port = await freePort();
    const config = join(dir, 'Caddyfile');
    const handlers = instances.map(
      ({ id, address, port: at }) => `  handle_path /demo/${id}/* {
    reverse_proxy ${address}:${at} {
      transport http {
        keepalive_idle_conns_per_host 256
      }
    }
  }`,
    );
    writeFileSync(
      config,
      `{
  admin off
  auto_https off
}
http://:${port} {
  bind 127.0.0.1
${handlers.join('\n')}
}
`,
    );
    const process = await startProcess({
      core: CORES.contender,
      command: ['caddy', 'run', '--config', config, '--adapter', 'caddyfile'],
      env: { HOME: dir, PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      ready: { host: '127.0.0.1', port },
    });
    return { port, process };
  },
};
