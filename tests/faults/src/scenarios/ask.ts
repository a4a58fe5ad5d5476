import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DeadlineResponses } from './deadline-lateness.ts';

/**
 * Requests one instance through one proxy. Returns the status, or undefined if the connection was
 * closed.
 */
export function ask(agent: Agent, base: string, id: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const asked = request(`${base}/demo/${id}/id`, { agent }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode));
      response.once('error', () => resolve(undefined));
    });
    asked.once('error', () => resolve(undefined));
    asked.end();
  });
}

export interface RequestLoad {
  readonly bases: readonly string[];
  readonly ids: readonly string[];
  /** Start and end of the requests, epoch ms. */
  readonly from: number;
  readonly until: number;
  /** Number of concurrent visitors. */
  readonly visitors: number;
  readonly responses: DeadlineResponses;
}

/** Requests the ids in turn through all proxies, each visitor without a pause. */
export async function requestAroundDeadline(load: RequestLoad): Promise<void> {
  const { bases, ids, from, until, visitors, responses } = load;
  const agent = new Agent({ keepAlive: true, maxSockets: visitors });
  let turn = 0;
  await sleep(Math.max(0, from - Date.now()));
  const visitor = async () => {
    while (Date.now() < until) {
      const mine = turn++;
      const base = bases[mine % bases.length] ?? '';
      const id = ids[Math.floor(mine / bases.length) % ids.length] ?? '';
      const sentAt = Date.now();
      responses.record(await ask(agent, base, id), sentAt, Date.now());
    }
  };
  await Promise.all(Array.from({ length: visitors }, visitor));
  agent.destroy();
}
