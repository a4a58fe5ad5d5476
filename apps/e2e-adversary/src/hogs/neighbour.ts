import { setTimeout as sleep } from 'node:timers/promises';
import type { Deployment } from '@ephemera/testing';

/** Starts an instance, and waits until it is ready; gives its id. */
export async function start(site: Deployment, template: string): Promise<string> {
  const answer = await site.api('POST', '/v1/instances', { template }, { prefer: 'wait=30' });
  const { id, status } = (await answer.json()) as { id: string; status: { state: string } };
  if (status.state !== 'ready') throw new Error(`${template} is ${status.state}`);
  return id;
}

/** What an instance of the demo says for itself through the proxy: its id. */
export async function ask({ publicUrls }: Deployment, id: string): Promise<string> {
  const answer = await fetch(`${publicUrls[0] ?? ''}/demo/${id}/id`);
  const text = await answer.text();
  return answer.ok ? text : String(answer.status);
}

/**
 * The time of each answer in a window, ms; requests are sent at their times, whatever others take.
 * @throws where an answer is not the neighbour's own
 */
export async function timeAnswers(
  site: Deployment,
  id: string,
  window: { readonly ms: number; readonly perSecond: number },
): Promise<number[]> {
  const all = Array.from({ length: (window.ms / 1000) * window.perSecond }, async (_, i) => {
    await sleep((i * 1000) / window.perSecond);
    const began = performance.now();
    const said = await ask(site, id);
    if (said !== id) throw new Error(`the neighbour answered ${said}`);
    return performance.now() - began;
  });
  return Promise.all(all);
}
