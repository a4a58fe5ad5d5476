import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Agent } from 'node:http';
import { newId } from '@ephemera/domain';
import { connectRedis, keysOf, redisInstances, redisLeases } from '@ephemera/store';
import { deploy, print, sampleDraft, sampleTemplate } from '@ephemera/test-support';
import type { Options } from '../options.ts';
import { ask, requestAroundDeadline } from './ask.ts';
import { DeadlineResponses } from './deadline-lateness.ts';

const ROUTES = 10_000;
const VISITORS = 32;
const HOST = 'no-worker';
const TEMPLATES = `
default: demo
templates:
  demo: { image: ephemera/demo, port: 8080 }
`;

/** Ten thousand routes with the same deadline, written by the store as for a worker. */
export async function routesDue({ runs = ROUTES }: Options): Promise<boolean> {
  const server = createServer((_, res) => res.end('here'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  // No worker runs, so only the clocks of the proxies make them refuse requests.
  const site = await deploy({ templates: TEMPLATES, workers: 0, proxies: 2 });
  const redis = connectRedis(site.redis.url, 'job', () => undefined);
  try {
    const keys = keysOf(site.namespace);
    const instances = redisInstances(redis, keys);
    const leases = redisLeases(redis, keys);
    const template = sampleTemplate({ port, ports: { web: port }, timeout: 3_600_000 });
    const ids = Array.from({ length: runs }, () => newId(randomBytes));
    const BATCH = 200;
    const began = Date.now();
    for (let i = 0; i < ids.length; i += BATCH) {
      await Promise.all(
        ids.slice(i, i + BATCH).map(async (id) => {
          const { generation } = await instances.create(sampleDraft({ id, template }));
          await instances.assignToHost(id, generation, HOST);
          await instances.markReady(id, generation, '127.0.0.1', HOST);
        }),
      );
    }
    const took = Date.now() - began;
    const known = new DeadlineResponses(Number.POSITIVE_INFINITY);
    await everyOne(site.publicUrls, ids, known);
    print(
      `every route requested through every proxy: ${known.answered} answered, others ${JSON.stringify(known.other)}`,
    );
    // A renewal runs one script; each instance above took three.
    const deadline = Math.ceil(Date.now() / 1000) * 1000 + took + 5_000;
    for (let i = 0; i < ids.length; i += BATCH) {
      await Promise.all(
        ids
          .slice(i, i + BATCH)
          .map((id) => leases.renew(id, { expiresAt: deadline, shorten: true })),
      );
    }
    const responses = new DeadlineResponses(deadline);
    await requestAroundDeadline({
      ...{ ids, visitors: VISITORS, responses },
      bases: site.publicUrls,
      from: deadline - 1_000,
      until: deadline + 2_000,
    });
    print(responses.print());
    const after = new DeadlineResponses(deadline);
    await everyOne(site.publicUrls, ids, after);
    print(
      `requested again through every proxy: ${after.refused} refused, ${after.answered} answered, others ${JSON.stringify(after.other)}`,
    );
    const all = ids.length * site.publicUrls.length;
    return (
      responses.isOnTime && known.refused === 0 && after.answered === 0 && after.refused > all * 0.9
    );
  } finally {
    redis.disconnect();
    await site.stop();
    server.closeAllConnections();
    server.close();
  }
}

async function everyOne(
  bases: readonly string[],
  ids: readonly string[],
  responses: DeadlineResponses,
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: VISITORS });
  const waiting = bases.flatMap((base) => ids.map((id) => ({ base, id })));
  const runner = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const sentAt = Date.now();
      responses.record(await ask(agent, next.base, next.id), sentAt, Date.now());
    }
  };
  await Promise.all(Array.from({ length: VISITORS }, runner));
  agent.destroy();
}
