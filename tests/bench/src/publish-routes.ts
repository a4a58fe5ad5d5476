import type { ReadyRoute } from '@ephemera/domain';
import { keysOf } from '@ephemera/store';
import type { Redis } from 'ioredis';
import type { Instance } from './instances.ts';

const BATCH = 1000;
/**
 * The host of all instances. A proxy accepts only addresses in the networks of a registered host.
 */
const HOST = 'bench';

/** Writes routes to Redis in the format of the script that publishes an instance. */
export async function publishRoutes(
  redis: Redis,
  namespace: string,
  instances: readonly Instance[],
): Promise<void> {
  const keys = keysOf(namespace);
  const registration = { boot: HOST, network: HOST, networks: ['127.0.0.0/8'] };
  await redis.set(keys.registration(HOST), JSON.stringify(registration));
  for (let from = 0; from < instances.length; from += BATCH) {
    const batch = instances.slice(from, from + BATCH);
    await redis.mset(batch.flatMap((instance) => [keys.route(instance.id), routeOf(instance)]));
  }
}

export function routeOf({ address, port, number }: Instance): string {
  const route: ReadyRoute = {
    state: 'ready',
    generation: Number(number),
    address,
    port,
    ports: { web: port },
    expiresAt: Date.now() + 3_600_000,
    stripPrefix: true,
    host: HOST,
    hostHeader: 'pass',
  };
  return JSON.stringify(route);
}
