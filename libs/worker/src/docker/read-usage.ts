import type { Usage } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, ignoreStatus, withDeadline } from './deadline.ts';

/** What the daemon tells of a container that runs; a stopped one has hardly any of it. */
interface Reading {
  readonly read: string;
  readonly pids_stats?: { readonly current?: number };
  readonly cpu_stats?: { readonly cpu_usage?: { readonly total_usage?: number } };
  readonly memory_stats?: {
    readonly usage?: number;
    readonly limit?: number;
    readonly stats?: Readonly<Record<string, number>>;
  };
  readonly networks?: Readonly<Record<string, { rx_bytes: number; tx_bytes: number }>>;
}

/** Reads what a container uses; undefined where it is gone or does not run. */
export async function readUsage(container: Docker.Container): Promise<Usage | undefined> {
  // `one-shot`: without it the daemon waits for a reading to compare with. Of a container that was
  // read a moment ago it gives the next reading all the same, up to a second later.
  const call = container.stats({ stream: false, 'one-shot': true });
  const reading = (await ignoreStatus(
    [404, 409],
    withDeadline('stats', DEFAULT_TIMEOUT_MS, call),
  )) as Reading | undefined;
  const memory = reading?.memory_stats;
  if (reading === undefined || memory?.usage === undefined) return undefined;
  const networks = Object.values(reading.networks ?? {});
  const { total_inactive_file: first, inactive_file: second } = memory.stats ?? {};
  return {
    readAt: reading.read,
    cpuSeconds: (reading.cpu_stats?.cpu_usage?.total_usage ?? 0) / 1e9,
    // As `docker stats` counts: cgroup v1 names the cache of files one way, v2 the other.
    memory: {
      used: Math.max(0, memory.usage - (first ?? second ?? 0)),
      limit: memory.limit ?? 0,
    },
    pids: reading.pids_stats?.current ?? 0,
    network: {
      received: networks.reduce((sum, { rx_bytes }) => sum + rx_bytes, 0),
      sent: networks.reduce((sum, { tx_bytes }) => sum + tx_bytes, 0),
    },
  };
}
