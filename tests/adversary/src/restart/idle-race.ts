import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestbed } from '../testbed.ts';
import { newEchoInstance } from '../plain-instance.ts';
import { randomFrom } from '@ephemera/test-support';
import { startBalancer } from './balancer.ts';
import { get } from './load.ts';

export interface IdleRaceResult {
  readonly requests: number;
  readonly outcomes: Readonly<Record<string, number>>;
}

/**
 * Many clients send a request through a load balancer, pause for about its idle timeout, and send
 * another. If a replica closed idle connections earlier than the balancer, some requests would meet
 * a closing connection and get 502.
 *
 * @param idleMs how long the balancer keeps idle connections
 */
export async function idleRace(requests: number, idleMs: number): Promise<IdleRaceResult> {
  const testbed = await startTestbed();
  const instance = await newEchoInstance();
  try {
    const id = await testbed.ready({ port: instance.port });
    const replica = await testbed.replica();
    // Only the connection between balancer and replica may cause a failure.
    const alone = { idleMs, clientMs: idleMs * 5, checks: false };
    const balancer = await startBalancer([replica], alone);
    const random = randomFrom(1);
    const outcomes: Record<string, number> = {};
    const rounds = 4;
    const ask = async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      await sleep(random(10_000));
      for (let round = 0; round < rounds; round++) {
        const outcome = await get(agent, balancer.port, `/demo/${id}/`);
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
        if (round < rounds - 1) await sleep(idleMs * 0.8 + random(idleMs * 0.4));
      }
      agent.destroy();
    };
    try {
      await Promise.all(Array.from({ length: Math.ceil(requests / rounds) }, ask));
    } finally {
      await balancer.stop();
    }
    return { requests: Object.values(outcomes).reduce((sum, n) => sum + n, 0), outcomes };
  } finally {
    instance.stop();
    await testbed.stop();
  }
}
