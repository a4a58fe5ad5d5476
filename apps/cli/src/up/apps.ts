import { join, resolve } from 'node:path';

import { siteOf, workspace, type Config } from '../config.ts';
import { keepSecret } from '../state-folder.ts';
import type { PortPlan } from './plan-ports.ts';
import type { ProcessSpec } from './supervised-process.ts';

export interface BackingServices {
  readonly dockerHost: string;
  readonly redisUrl: string;
  readonly token: string;
  /** For a worker whose user is not root. */
  readonly firewall: NodeJS.ProcessEnv;
}

/**
 * By default V8 grows the young generation under load. With this size in MiB, a busy proxy is as
 * fast and uses a quarter less memory.
 */
const NEW_SPACE = '--max-semi-space-size=8';

/** The processes of one start. `front` accepts requests and stops before the workers. */
export function planApps(
  config: Config,
  ports: PortPlan,
  services: BackingServices,
): { workers: ProcessSpec[]; front: ProcessSpec[] } {
  const shared = {
    ...config.environment,
    // Only the worker may access Docker.
    DOCKER_HOST: undefined,
    ...secret(config, 'EPHEMERA_REDIS_URL', services.redisUrl),
    EPHEMERA_CONFIG: config.configFile,
    ...secret(config, 'EPHEMERA_ADMIN_TOKEN', services.token),
    EPHEMERA_PUBLIC_PORT: String(ports.public),
    EPHEMERA_DASHBOARD_PORT: String(ports.dashboard),
  };
  const app = (kind: string, name: string, site: string, own: NodeJS.ProcessEnv): ProcessSpec => ({
    name,
    command: [process.execPath, NEW_SPACE, join(workspace, 'apps', kind, 'src/main.ts')],
    environment: { ...shared, ...own },
    logFile: join(config.stateFolder, 'logs', `${name.replace(' ', '-')}.log`),
    isReady: () => answersOk(`${site}/readyz`),
  });
  const numbered = (name: string, index: number) => (index === 0 ? name : `${name} ${index + 1}`);

  const keys = signingKeys(config);
  const workers = ports.workers.map((port, index) =>
    app('worker', numbered('worker', index), siteOf(config.adminHost, port), {
      ...keys,
      EPHEMERA_WORKER_PORT: String(port),
      DOCKER_HOST: services.dockerHost,
      ...services.firewall,
      EPHEMERA_ADMIN_TOKEN: undefined,
      EPHEMERA_ADMIN_TOKEN_FILE: undefined,
    }),
  );
  const proxies = ports.proxies.map((port, index) =>
    app('proxy', numbered('proxy', index), siteOf(config.adminHost, port), {
      ...keys,
      EPHEMERA_ADMIN_PORT: String(port),
    }),
  );
  const dashboard = app('dashboard', 'dashboard', siteOf(config.adminHost, ports.dashboard), {});
  return { workers, front: [...proxies, dashboard] };
}

/**
 * Passes a secret to child processes as it was configured. A secret from a file stays a file,
 * because environments are visible to other processes.
 */
export function secret(
  { environment }: Pick<Config, 'environment'>,
  name: string,
  value: string,
): NodeJS.ProcessEnv {
  const file = environment[`${name}_FILE`];
  return file ? { [name]: undefined, [`${name}_FILE`]: resolve(file) } : { [name]: value };
}

/**
 * The signing keys of proxies and workers, unless they are configured: generated, and kept in a file.
 * With a Redis that is configured there may be processes on other machines, which need the same keys.
 */
function signingKeys({ environment, stateFolder }: Config): NodeJS.ProcessEnv {
  const { EPHEMERA_SIGNING_KEYS: keys, EPHEMERA_SIGNING_KEYS_FILE: file } = environment;
  if (keys || file || environment['EPHEMERA_REDIS_URL'] || environment['EPHEMERA_REDIS_URL_FILE']) {
    return {};
  }
  keepSecret(stateFolder, 'signing-keys');
  return { EPHEMERA_SIGNING_KEYS_FILE: join(stateFolder, 'signing-keys') };
}

async function answersOk(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}
