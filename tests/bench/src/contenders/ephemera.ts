import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { surroundings } from '../config.ts';
import { CORES } from '../cores.ts';
import { startProcess } from '../processes.ts';
import { publishRoutes } from '../publish-routes.ts';
import type { Contender, Testbed, Running } from './contender.ts';

const MAIN = join(import.meta.dirname, '../../../../apps/proxy/src/main.ts');

/** The same value as in `npm start` and in the image. */
const NEW_SPACE = '--max-semi-space-size=8';

export interface Replica {
  readonly namespace: string;
  readonly core?: number;
  /** Public port of another replica, to share it. */
  readonly port?: number;
  readonly nodeArguments?: readonly string[];
  /** Instead of the production process. */
  readonly main?: string;
}

/** The production process with its default settings, and a real Redis. */
export const ephemera: Contender = { name: 'Ephemera', start: (testbed) => startOn(testbed) };

/** The same without the metrics of requests. */
export const unmeasured: Contender = {
  name: 'without metrics',
  start: (testbed) =>
    startOn(testbed, join(import.meta.dirname, '../servers/unmeasured-server.ts')),
};

async function startOn(testbed: Testbed, main = MAIN): Promise<Running> {
  const namespace = `bench-${randomBytes(4).toString('hex')}`;
  const redis = new Redis(testbed.redisUrl);
  try {
    await publishRoutes(redis, namespace, testbed.instances);
  } finally {
    redis.disconnect();
  }
  return startReplica(testbed, { namespace, main });
}

/** Starts a proxy for a namespace whose routes already exist in Redis. */
export async function startReplica(
  { dir, redisUrl }: Pick<Testbed, 'dir' | 'redisUrl'>,
  { namespace, core = CORES.contender, port, nodeArguments = [], main = MAIN }: Replica,
): Promise<Running> {
  const publicPort = port ?? (await freePort());
  const templates = join(dir, 'ephemera.yml');
  writeFileSync(
    templates,
    'default: demo\ntemplates:\n  demo:\n    image: ephemera/demo\n    port: 8080\n',
  );
  const adminPort = await freePort();
  const process = await startProcess({
    core,
    command: [globalThis.process.execPath, NEW_SPACE, ...nodeArguments, main],
    env: {
      ...surroundings,
      EPHEMERA_REDIS_URL: redisUrl,
      EPHEMERA_NAMESPACE: namespace,
      EPHEMERA_CONFIG: templates,
      EPHEMERA_ADMIN_TOKEN: randomBytes(24).toString('base64url'),
      EPHEMERA_LOG_LEVEL: 'warn',
      EPHEMERA_PUBLIC_PORT: String(publicPort),
      EPHEMERA_ADMIN_PORT: String(adminPort),
    },
    // Another proxy may already listen on a shared public port. This then waits for the admin port,
    // although a proxy opens it before the public port.
    ready: { host: '127.0.0.1', port: port === undefined ? publicPort : adminPort },
  });
  return { port: publicPort, process };
}
