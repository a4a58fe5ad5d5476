import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CORES } from './cores.ts';
import type { Instance } from './instances.ts';
import { nginxMain } from './contenders/nginx.ts';
import { startProcess } from './processes.ts';
import type { Process } from './processes.ts';

/** Size of the small response, bytes. */
export const SMALL = 1024;

/** Sizes of the larger responses by name, bytes. */
export const LARGE: Readonly<Record<string, number>> = { '64k': 64 * 1024, '1m': 1024 * 1024 };

/** The rest of a small response, after the number of the upstream and the requested number. */
export const FILLING = `${'.'.repeat(SMALL - 9)}!`;

/**
 * Starts one nginx for all instances, each on a separate address. A response contains the number of
 * the upstream and the number from the request, so a response of another instance is detected. The
 * larger responses are files; each size has a separate port.
 */
export async function startUpstreams(
  dir: string,
  instances: readonly Instance[],
  largePorts: Readonly<Record<string, number>>,
): Promise<Process> {
  const [first] = instances;
  if (first === undefined) throw new Error('no instances');
  const files = join(dir, 'files');
  mkdirSync(files, { recursive: true });
  const large = Object.entries(LARGE).map(([name, size]) => {
    writeFileSync(join(files, name), Buffer.alloc(size, `${name} `));
    const listens = instances.map(({ address }) => `listen ${address}:${largePorts[name]};`);
    return `
  server {
    ${listens.join(' ')}
    location / { root ${files}; try_files /${name} =404; }
  }`;
  });
  const small = instances.map(
    ({ address, port, number }) => `
  server {
    listen ${address}:${port} backlog=4096;
    location / { return 200 "${number} $arg_n ${FILLING}"; }
  }`,
  );
  const config = join(dir, 'upstreams.conf');
  writeFileSync(
    config,
    nginxMain(
      join(dir, 'upstreams.pid'),
      `default_type text/plain;
  sendfile on; tcp_nopush on; open_file_cache max=10;
  ${[...small, ...large].join('')}`,
    ),
  );
  return startProcess({
    core: CORES.upstream,
    command: ['nginx', '-p', dir, '-c', config],
    ready: { host: first.address, port: first.port },
  });
}
