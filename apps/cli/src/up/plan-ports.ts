import { createServer } from 'node:net';

import { BootError } from '@ephemera/domain';

import type { Config } from '../config.ts';

export interface PortPlan {
  readonly public: number;
  readonly dashboard: number;
  /** The admin port of each proxy replica. */
  readonly proxies: readonly number[];
  /** The health port of each worker. */
  readonly workers: readonly number[];
}

type RequestedPorts = Pick<
  Config,
  'host' | 'adminHost' | 'publicPort' | 'adminPort' | 'dashboardPort' | 'workerPort'
>;

/**
 * Assigns a port to every process: the configured port to the first of each kind, the next free
 * ports above it to the others.
 *
 * @throws BootError that names every configured port that is taken or used twice
 */
export async function planPorts(
  wanted: RequestedPorts,
  counts: { readonly proxies: number; readonly workers: number },
  isFree: (host: string, port: number) => Promise<boolean> = isPortFree,
): Promise<PortPlan> {
  const { host, adminHost } = wanted;
  const configured: readonly [name: string, host: string, port: number][] = [
    ['EPHEMERA_PUBLIC_PORT', host, wanted.publicPort],
    ['EPHEMERA_ADMIN_PORT', adminHost, wanted.adminPort],
    ['EPHEMERA_DASHBOARD_PORT', adminHost, wanted.dashboardPort],
    ['EPHEMERA_WORKER_PORT', adminHost, wanted.workerPort],
  ];
  const seen = new Set<number>();
  const faults: string[] = [];
  for (const [name, on, port] of configured) {
    if (seen.has(port)) faults.push(`${on}:${port} (${name}) is configured twice`);
    else if (!(await isFree(on, port))) faults.push(`${on}:${port} (${name}) is taken`);
    seen.add(port);
  }
  if (faults.length > 0) {
    throw new BootError(
      'Ports that cannot be used:\n' +
        faults.map((fault) => `    ${fault}\n`).join('') +
        'Perhaps Ephemera runs already. Otherwise set these variables to free ports.',
    );
  }

  let last = Math.max(...seen);
  const more = async (count: number, on: string) => {
    const ports: number[] = [];
    while (ports.length < count) {
      last += 1;
      if (last > 65_535)
        throw new BootError('There are not enough free ports above the configured ones.');
      if (await isFree(on, last)) ports.push(last);
    }
    return ports;
  };
  return {
    public: wanted.publicPort,
    dashboard: wanted.dashboardPort,
    proxies: [wanted.adminPort, ...(await more(counts.proxies - 1, adminHost))],
    workers: [wanted.workerPort, ...(await more(counts.workers - 1, adminHost))],
  };
}

/**
 * Returns whether no process listens on a port. The proxies of one start share their public port.
 * The probe does not use `reusePort`, so it also fails for a shared port, and a second start is
 * refused.
 */
export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else
        reject(new BootError(`Cannot listen on ${host}:${port}: ${error.code ?? error.message}.`));
    });
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
