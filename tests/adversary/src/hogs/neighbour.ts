import { setTimeout as sleep } from 'node:timers/promises';
import type { Deployment } from '@ephemera/test-support';
import { inspectContainer } from './container.ts';

/** Starts an instance, waits until it is ready, and returns its id. */
export async function start(site: Deployment, template: string): Promise<string> {
  const answer = await site.api('POST', '/v1/instances', { template }, { prefer: 'wait=30' });
  const { id, status } = (await answer.json()) as { id: string; status: { state: string } };
  if (status.state !== 'ready') throw new Error(`${template} is ${status.state}`);
  return id;
}

/** Requests the id of a demo instance through the proxy. */
export async function ask({ publicUrls }: Deployment, id: string): Promise<string> {
  const answer = await fetch(`${publicUrls[0] ?? ''}/demo/${id}/id`);
  const text = await answer.text();
  return answer.ok ? text : String(answer.status);
}

/** The URLs of a demo instance's id: through the proxy, and direct. */
export interface Urls {
  readonly through: string;
  readonly direct: string;
}

export async function urlsOf({ publicUrls }: Deployment, id: string): Promise<Urls> {
  const { address } = await inspectContainer(id);
  return { through: `${publicUrls[0] ?? ''}/demo/${id}/id`, direct: `http://${address}:8080/id` };
}

/**
 * Measures response times in a window, ms. Requests are sent both ways at fixed times, however long
 * others take.
 * @throws if a response is not from the neighbour
 */
export async function timeAnswers(
  urls: Urls,
  id: string,
  window: { readonly ms: number; readonly perSecond: number },
): Promise<Record<keyof Urls, number[]>> {
  const pace = 1000 / window.perSecond;
  const timeAll = (url: string, deadlineMs: number) =>
    Promise.all(
      Array.from({ length: window.ms / pace }, async (_, i) => {
        await sleep(i * pace + deadlineMs);
        const began = performance.now();
        const answer = await fetch(url);
        const said = await answer.text();
        if (said !== id) throw new Error(`the neighbour answered ${answer.status}: ${said}`);
        return performance.now() - began;
      }),
    );
  const [through, direct] = await Promise.all([
    timeAll(urls.through, 0),
    timeAll(urls.direct, pace / 2),
  ]);
  return { through, direct };
}
