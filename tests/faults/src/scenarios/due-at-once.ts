import { setTimeout as sleep } from 'node:timers/promises';
import { FIRST, connectRedis, keysOf, readEvents } from '@ephemera/store';
import { demoTemplate, type Deployment, deploy, print } from '@ephemera/test-support';
import type { Options } from '../options.ts';
import { requestAroundDeadline } from './ask.ts';
import { DeadlineResponses, figures, quantile } from './deadline-lateness.ts';

const INSTANCES = 200;
const VISITORS = 16;

const TEMPLATES = `
default: demo
templates:
  demo: ${demoTemplate({
    ...{ timeout: '20m', maxTimeout: '40m', stopGrace: '1s' },
    ready: { http: '/id', within: '15m' },
    limits: { memory: '32m', cpus: 0.5, pids: 32 },
  })}
`;

/** Two hundred containers whose deadlines are one instant: how late each is refused and killed. */
export async function dueAtOnce({ runs = INSTANCES }: Options): Promise<boolean> {
  const site = await deploy({ templates: TEMPLATES, workers: 1, proxies: 2 });
  const redis = connectRedis(site.redis.url, 'job', () => undefined);
  try {
    const ids = await startAll(site, runs);
    print(`${ids.length} instances serve`);
    const deadline = Math.ceil(Date.now() / 1000) * 1000 + 25_000;
    await eachOf(ids, (id) => renewTo(site, id, deadline));
    const responses = new DeadlineResponses(deadline);
    await requestAroundDeadline({
      ...{ ids, visitors: VISITORS, responses },
      bases: site.publicUrls,
      from: deadline - 1_000,
      until: deadline + 1_500,
    });
    print(responses.print());

    const wanted = new Set(ids);
    for (;;) {
      const { events } = await readEvents(redis, keysOf(site.namespace), FIRST, 100_000);
      const late = (type: string) =>
        events
          .filter((event) => event.type === type && wanted.has(event.id))
          .map(({ time }) => time - deadline);
      if (late('gone').length < ids.length) {
        await sleep(500);
        continue;
      }
      const killed = late('draining');
      print(figures('kill begun after the deadline', killed));
      print(figures('container removed after the deadline', late('gone')));
      const early = killed.filter((ms) => ms < 0).length;
      print(`${early} before the deadline`);
      return responses.isOnTime && early === 0 && quantile(killed, 0.99) < 1_000;
    }
  } finally {
    redis.disconnect();
    await site.stop();
  }
}

async function startAll(site: Deployment, count: number): Promise<string[]> {
  const ids: string[] = [];
  await eachOf(Array.from({ length: count }), async () => {
    const answer = await site.api('POST', '/v1/instances', {});
    ids.push(((await answer.json()) as { id: string }).id);
  });
  await eachOf(ids, async (id) => {
    for (;;) {
      const answer = await site.api('GET', `/v1/instances/${id}`);
      const { status } = (await answer.json()) as { status: { state: string } };
      if (status.state === 'ready') return;
      if (status.state !== 'pending' && status.state !== 'starting') {
        throw new Error(`${id} is ${status.state}`);
      }
      await sleep(500);
    }
  });
  return ids;
}

async function renewTo(site: Deployment, id: string, deadline: number): Promise<void> {
  const wanted = { expiresAt: new Date(deadline).toISOString(), shorten: true };
  const answer = await site.api('POST', `/v1/instances/${id}/renew`, wanted);
  if (answer.status !== 200) throw new Error(`${id} was not renewed: ${answer.status}`);
}

async function eachOf<T>(things: readonly T[], work: (thing: T) => Promise<void>): Promise<void> {
  const waiting = [...things];
  const runner = async () => {
    while (waiting.length > 0) await work(waiting.shift() as T);
  };
  await Promise.all(Array.from({ length: 8 }, runner));
}
