import type { Usage } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { ignoreStatus, withDeadline } from './docker-client.ts';

/** The daemon's statistics of a container. A stopped container has few of these fields. */
interface Stats {
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

/** Reads the resource usage of a container. Undefined if it is gone or not running. */
export async function readUsage(container: Docker.Container): Promise<Usage | undefined> {
  // Without `one-shot`, the daemon waits for a second sample. With it, a repeated call may still
  // take up to one second.
  const call = container.stats({ stream: false, 'one-shot': true });
  const reading = (await ignoreStatus(
    [404, 409],
    withDeadline('stats', DEFAULT_TIMEOUT_MS, call),
  )) as Stats | undefined;
  const memory = reading?.memory_stats;
  if (reading === undefined || memory?.usage === undefined) return undefined;
  const networks = Object.values(reading.networks ?? {});
  const { total_inactive_file: first, inactive_file: second } = memory.stats ?? {};
  return {
    readAt: reading.read,
    cpuSeconds: (reading.cpu_stats?.cpu_usage?.total_usage ?? 0) / 1e9,
    // As `docker stats` does: cgroup v1 and v2 have different names for the page cache.
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
