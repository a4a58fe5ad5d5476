import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import {
  COMMON,
  adminHost,
  adminTokenFile,
  domain,
  domainWithPort,
  publicUrlOf,
  port,
  readEnvironment,
  redisAddressOf,
} from '@ephemera/config';
import { BootError } from '@ephemera/domain';
import { z } from 'zod';

/** The root folder of the workspace, or of what the published package contains of it. */
export const workspace = resolve(import.meta.dirname, '../../..');

/** Whether the programs of a deployment are here. The published package has only the command line. */
const isCheckout = existsSync(join(workspace, 'apps/worker'));

/** What relative paths of the settings refer to. */
const baseFolder = isCheckout ? workspace : process.cwd();

/** The folder for logs, generated secrets and Redis' files; it persists between starts. */
export const stateRoot = join(baseFolder, '.ephemera');

/** @throws BootError in the published package, where the programs of a deployment are absent */
export function requireCheckout(command: string): void {
  if (isCheckout) return;
  throw new BootError(
    `"ephemera ${command}" runs programs of a deployment, and this package has only the command line. ` +
      `In a checkout of the Ephemera repository, use: npx ephemera ${command}`,
  );
}

export const schema = z.object({
  ...COMMON,
  EPHEMERA_REDIS_URL: COMMON.EPHEMERA_REDIS_URL.unwrap().optional(),
  EPHEMERA_CONFIG: z.string().default('ephemera.yml'),
  EPHEMERA_PREFIX: z.string().default('demo'),
  EPHEMERA_PUBLIC_PORT: port(8080),
  EPHEMERA_PUBLIC_URL: z
    .url({ protocol: /^https?$/, error: 'must be an http:// or https:// address' })
    .optional(),
  EPHEMERA_DOMAIN: domain,
  EPHEMERA_ADMIN_PORT: port(8081),
  EPHEMERA_ADMIN_HOST: adminHost,
  EPHEMERA_DASHBOARD_PORT: port(8082),
  EPHEMERA_WORKER_PORT: port(8083),
  EPHEMERA_ADMIN_TOKEN: z.string().min(16, 'must have at least 16 characters').optional(),
  EPHEMERA_ADMIN_TOKEN_FILE: adminTokenFile,
  EPHEMERA_ADMIN_URL: z
    .url({ error: 'must be an http:// or https:// address' })
    .optional()
    .describe(
      'URL of the control API that the commands use. Default: the admin port of this machine.',
    ),
  DOCKER_HOST: z.string().optional(),
});

/** The default environment of child processes. */
export const inherited: NodeJS.ProcessEnv = process.env;

export type Config = ReturnType<typeof readConfig>;

/**
 * Reads the settings of the command line client and of `up`.
 * @throws ConfigError with every issue at once
 */
export function readConfig(environment = inherited) {
  const input = readEnvironment(schema, environment);
  const host = input.EPHEMERA_HOST;
  return {
    host,
    adminHost: input.EPHEMERA_ADMIN_HOST,
    /** The URL of the public port for visitors, without a trailing slash. */
    publicUrl: publicUrlOf(input),
    /** The domain of the host form with the port that visitors use. */
    domain: domainWithPort(input),
    configFile: resolve(baseFolder, input.EPHEMERA_CONFIG),
    prefix: input.EPHEMERA_PREFIX,
    publicPort: input.EPHEMERA_PUBLIC_PORT,
    adminPort: input.EPHEMERA_ADMIN_PORT,
    dashboardPort: input.EPHEMERA_DASHBOARD_PORT,
    workerPort: input.EPHEMERA_WORKER_PORT,
    adminToken: input.EPHEMERA_ADMIN_TOKEN,
    adminUrl:
      input.EPHEMERA_ADMIN_URL ?? siteOf(input.EPHEMERA_ADMIN_HOST, input.EPHEMERA_ADMIN_PORT),
    /** Undefined where EPHEMERA_REDIS_URL is not set. */
    redis:
      input.EPHEMERA_REDIS_URL === undefined
        ? undefined
        : redisAddressOf({ ...input, EPHEMERA_REDIS_URL: input.EPHEMERA_REDIS_URL }),
    dockerHost: input.DOCKER_HOST,
    /** Two deployments on one machine have different namespaces, and share no log or token. */
    stateFolder:
      input.EPHEMERA_NAMESPACE === 'ephemera'
        ? stateRoot
        : join(stateRoot, input.EPHEMERA_NAMESPACE),
    /** The whole environment, for child processes. */
    environment,
  };
}

/** Returns the URL under which this machine reaches a listening address and port. */
export function siteOf(host: string, port: number): string {
  const reached = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}
