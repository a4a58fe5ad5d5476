import { setTimeout as sleep } from 'node:timers/promises';
import { percentile, waitFor } from '@ephemera/test-support';
import { type Replica, startTestbed } from '../testbed.ts';
import { newEchoInstance } from '../plain-instance.ts';
import { startBalancer } from './balancer.ts';
import { type LoadResult, steadyLoad } from './load.ts';
import { WatchedTunnel } from './watched-tunnel.ts';

export interface RestartResult {
  readonly restarts: number;
  readonly sent: number;
  readonly failed: LoadResult['failed'];
  readonly p50: number;
  readonly p99: number;
  /**
   * WebSockets that were open when their replica got SIGTERM, and lasted until its drain deadline.
   */
  readonly tunnelsDrained: number;
  readonly exitCodes: readonly (number | string)[];
}

const REPLICAS = 2;
const DRAIN = 5_000;

/** Restarts one replica after another under load, behind a balancer with readiness checks. */
export async function rollingRestart(restarts: number, perSecond = 200): Promise<RestartResult> {
  const testbed = await startTestbed();
  const instance = await newEchoInstance();
  const env = { EPHEMERA_UNREADY: '3s', EPHEMERA_DRAIN: `${DRAIN / 1000}s` };
  const stop = new AbortController();
  try {
    const id = await testbed.ready({ port: instance.port });
    const replicas: Replica[] = [];
    for (let i = 0; i < REPLICAS; i++) replicas.push(await testbed.replica({ env }));
    const balancer = await startBalancer(replicas);
    try {
      await bothUp(balancer.stats);
      const load = steadyLoad(
        { port: balancer.port, path: `/demo/${id}/slow`, perSecond },
        stop.signal,
      );
      const exitCodes: (number | string)[] = [];
      let tunnelsDrained = 0;
      for (let turn = 0; turn < restarts; turn++) {
        const old = replicas[turn % REPLICAS];
        if (!old) break;
        const tunnel = await WatchedTunnel.open(old.publicPort, id);
        old.signal('SIGTERM');
        exitCodes.push(await old.exit());
        if (tunnel.lived(DRAIN)) tunnelsDrained++;
        const { publicPort, adminPort } = old;
        replicas[turn % REPLICAS] = await testbed.replica({ env, publicPort, adminPort });
        await bothUp(balancer.stats);
        await sleep(300);
      }
      stop.abort();
      const { sent, failed, durations } = await load;
      return {
        restarts,
        sent,
        failed,
        p50: percentile(durations, 0.5),
        p99: percentile(durations, 0.99),
        tunnelsDrained,
        exitCodes,
      };
    } finally {
      stop.abort();
      await balancer.stop();
    }
  } finally {
    instance.stop();
    await testbed.stop();
  }
}

async function bothUp(stats: () => Promise<string>): Promise<void> {
  await waitFor('both replicas to be up', async () => {
    const rows = (await stats()).split('\n').filter((row) => /^replicas,r\d/.test(row));
    return rows.length === REPLICAS && rows.every((row) => row.split(',')[17] === 'UP');
  });
}
