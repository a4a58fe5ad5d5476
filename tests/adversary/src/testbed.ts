import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId as makeId, type ReadyRoute, type Route } from '@ephemera/domain';
import { connectRedis, type Keys, keysOf, redisHosts } from '@ephemera/store';
import {
  type Child,
  freePort,
  SETTLED_DATASET,
  startChild,
  startRedis,
  waitFor,
} from '@ephemera/test-support';
import type { Redis } from 'ioredis';

const proxyMain = new URL('../../../apps/proxy/src/main.ts', import.meta.url).pathname;
const HOST = 'adversary';

/** A real proxy in a separate process. */
export interface Replica extends Child {
  readonly publicPort: number;
  readonly adminPort: number;
  readonly adminToken: string;
}

export interface ReplicaOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of node, such as a module to import first. */
  readonly nodeArgs?: readonly string[];
  /** Program and arguments instead of the app's own main.ts. */
  readonly entry?: readonly string[];
  readonly redisPort?: number;
  readonly publicPort?: number;
  readonly adminPort?: number;
  /** Address that both ports bind to. Default: 127.0.0.1. */
  readonly host?: string;
}

/**
 * The environment of the replicas of a run: a separate Redis, with routes as a worker writes them.
 */
export interface Testbed {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly redisPort: number;
  readonly redisPid: number;
  readonly namespace: string;
  /** Path of the file with the templates. */
  readonly config: string;
  replica(options?: ReplicaOptions): Promise<Replica>;
  put(id: string, route: Route): Promise<void>;
  /** Writes the route of a ready instance. Returns its id. */
  ready(route: Partial<ReadyRoute> & { port: number }): Promise<string>;
  generation(): number;
  stop(): Promise<void>;
}

export const newId = (): string => makeId(randomBytes);

const TEMPLATES = 'default: demo\ntemplates:\n  demo:\n    image: ephemera/demo\n    port: 8080\n';

/** @param templates as in `ephemera.yml` */
export async function startTestbed(templates = TEMPLATES): Promise<Testbed> {
  const started = await startRedis({ args: ['--maxclients', '1000'] });
  const redis = connectRedis(started.url, 'job', () => undefined);
  await new Promise<void>((resolve) => redis.once('ready', () => resolve()));
  const namespace = `adversary-${randomBytes(3).toString('hex')}`;
  const keys = keysOf(namespace);
  const hosts = redisHosts(redis, keys);
  // A replica is ready only if a host is alive.
  await hosts.heartbeat(HOST, Date.now());
  const registration = { boot: HOST, network: HOST, networks: ['127.0.0.0/8'] };
  await redis.set(keys.registration(HOST), JSON.stringify(registration));
  await redis.set(keys.dataset, SETTLED_DATASET);
  const heartbeats = setInterval(() => {
    hosts.heartbeat(HOST, Date.now()).catch(() => undefined);
  }, 2_000);
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-adversary-'));
  const config = join(folder, 'ephemera.yml');
  await writeFile(config, templates);
  const replicas: Replica[] = [];
  let generation = 0;
  const put = async (id: string, route: Route) => {
    await redis.set(keys.route(id), JSON.stringify(route));
  };
  return {
    redis,
    keys,
    redisPort: started.port,
    redisPid: started.pid,
    namespace,
    config,
    put,
    generation: () => ++generation,
    async ready(route) {
      const id = newId();
      await put(id, readyRoute(++generation, route));
      return id;
    },
    async replica(options = {}) {
      const publicPort = options.publicPort ?? (await freePort());
      const adminPort = options.adminPort ?? (await freePort());
      const { host = '127.0.0.1' } = options;
      const adminToken = randomBytes(24).toString('base64url');
      const child = startChild(
        process.execPath,
        [...(options.nodeArgs ?? []), ...(options.entry ?? [proxyMain])],
        {
          EPHEMERA_REDIS_URL: `redis://127.0.0.1:${options.redisPort ?? started.port}/0`,
          EPHEMERA_NAMESPACE: namespace,
          EPHEMERA_CONFIG: config,
          EPHEMERA_ADMIN_TOKEN: adminToken,
          EPHEMERA_PUBLIC_PORT: String(publicPort),
          EPHEMERA_ADMIN_PORT: String(adminPort),
          EPHEMERA_LOG_LEVEL: 'info',
          EPHEMERA_HOST: host,
          EPHEMERA_ADMIN_HOST: host,
          ...options.env,
        },
      );
      const replica = { ...child, publicPort, adminPort, adminToken };
      replicas.push(replica);
      await waitFor('a replica to be ready', async () => {
        if (child.ended() !== undefined) return true;
        return (await fetch(`http://${host}:${adminPort}/readyz`)).ok;
      });
      if (child.ended() !== undefined) throw new Error(`a replica ended:\n${child.log()}`);
      return replica;
    },
    async stop() {
      clearInterval(heartbeats);
      await Promise.all(replicas.map((replica) => replica.stop()));
      redis.disconnect();
      await started.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The route of a ready instance, for an hour and on 127.0.1.1 unless `more` says otherwise. */
export function readyRoute(
  generation: number,
  { port, ...more }: Partial<ReadyRoute> & { port: number },
): ReadyRoute {
  return {
    state: 'ready',
    generation,
    address: '127.0.1.1',
    port,
    ports: { main: port },
    expiresAt: Date.now() + 3_600_000,
    stripPrefix: true,
    host: HOST,
    hostHeader: 'pass',
    ...more,
  };
}
