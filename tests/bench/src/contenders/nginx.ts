import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '@ephemera/test-support';
import { CORES } from '../cores.ts';
import { startProcess } from '../processes.ts';
import type { Contender, Testbed } from './contender.ts';

/** Configuration of a single-process nginx in the foreground without an access log. */
export function nginxMain(pidFile: string, http: string): string {
  return `daemon off;
master_process off;
pid ${pidFile};
error_log stderr error;
worker_rlimit_nofile 20000;
events { worker_connections 16384; multi_accept on; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  map_hash_bucket_size 128; map_hash_max_size 4096;
  ${http}
}
`;
}

const FORWARD = `
    proxy_http_version 1.1;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header Host $http_host;
    proxy_request_buffering off;`;

/**
 * One upstream group with keep-alive and one location per instance. A route change would need a new
 * file and a reload, so this measures nginx with static routes.
 */
export const nginxGroups: Contender = {
  name: 'nginx, static groups',
  start: (testbed) =>
    start(testbed, 'groups', ({ instances }) => {
      const groups = instances.map(
        ({ id, address, port }) =>
          `upstream i_${id} { server ${address}:${port}; keepalive 64; keepalive_requests 1000000000; }`,
      );
      const locations = instances.map(
        ({ id }) => `location /demo/${id}/ { proxy_pass http://i_${id}/; }`,
      );
      return [
        groups.join('\n  '),
        `proxy_set_header Connection $connection_header;
    proxy_set_header Upgrade $http_upgrade;
    ${locations.join('\n    ')}`,
      ];
    }),
};

/** Targets from a variable. nginx keeps no connections to such targets. */
export const nginxMap: Contender = {
  name: 'nginx, map variable',
  start: (testbed) =>
    start(testbed, 'map', ({ instances }) => {
      const entries = instances.map(({ id, address, port }) => `${id} ${address}:${port};`);
      return [
        `map $id $target { ${entries.join('\n    ')} }`,
        `proxy_set_header Connection $connection_header;
    proxy_set_header Upgrade $http_upgrade;
    location ~ ^/demo/(?<id>[a-z0-9]+)(?<rest>/.*)$ {
      proxy_pass http://$target$rest$is_args$args;
    }`,
      ];
    }),
};

async function start(
  testbed: Testbed,
  name: string,
  parts: (testbed: Testbed) => [string, string],
) {
  const port = await freePort();
  const config = join(testbed.dir, `nginx-${name}.conf`);
  const [http, server] = parts(testbed);
  const upgrade = "map $http_upgrade $connection_header { default upgrade; '' ''; }";
  const listen = `server { listen 127.0.0.1:${port} backlog=4096; ${FORWARD}
    ${server}
  }`;
  const pid = join(testbed.dir, `nginx-${name}.pid`);
  writeFileSync(config, nginxMain(pid, [upgrade, http, listen].join('\n  ')));
  const process = await startProcess({
    core: CORES.contender,
    command: ['nginx', '-p', testbed.dir, '-c', config],
    ready: { host: '127.0.0.1', port },
  });
  return { port, process };
}
