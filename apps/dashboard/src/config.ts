import {
  COMMON,
  adminHost,
  adminToken,
  adminTokenFile,
  checkAdminInterface,
  isLoopback,
  list,
  port,
  readEnvironment,
  redisAddressOf,
  trustedProxies,
} from '@ephemera/config';
import type { RedisAddress } from '@ephemera/store';
import { z } from 'zod';

/** The settings by their names in the environment; the reference is made from it. */
export const schema = z.object({
  ...COMMON,
  EPHEMERA_DASHBOARD_PORT: port(8082).describe('The instances page and the queues.'),
  EPHEMERA_ADMIN_HOST: adminHost,
  EPHEMERA_ADMIN_TOKEN: adminToken,
  EPHEMERA_ADMIN_TOKEN_FILE: adminTokenFile,
  EPHEMERA_DASHBOARD_NAMES: list.describe(
    'Host names that the dashboard answers to, with commas, beside addresses and `localhost`. Where unset it answers to any unless it is bound to loopback.',
  ),
  EPHEMERA_TRUSTED_PROXIES: trustedProxies,
  EPHEMERA_CONFIG: z
    .string()
    .default('ephemera.yml')
    .describe('The templates, tokens and webhooks.'),
});

/** Settings of the dashboard; durations in milliseconds. */
export interface DashboardConfig {
  readonly redis: RedisAddress;
  readonly namespace: string;
  readonly logLevel: string;
  readonly bind: string;
  readonly names: readonly string[] | undefined;
  readonly trustedProxies: readonly string[];
  readonly port: number;
  readonly adminToken: string | undefined;
  /** The file that tokens are read from, where there is one. */
  readonly tokensPath: string;
  readonly tombstone: number;
}

/** @throws ConfigError with every fault at once */
export function readConfig(environment = process.env): DashboardConfig {
  const input = readEnvironment(schema, environment);
  const names = input.EPHEMERA_DASHBOARD_NAMES;
  checkAdminInterface({
    binds: { EPHEMERA_ADMIN_HOST: input.EPHEMERA_ADMIN_HOST },
    token: input.EPHEMERA_ADMIN_TOKEN,
  });
  return {
    redis: redisAddressOf(input),
    namespace: input.EPHEMERA_NAMESPACE,
    logLevel: input.EPHEMERA_LOG_LEVEL,
    bind: input.EPHEMERA_ADMIN_HOST,
    names:
      names.length > 0 || isLoopback(input.EPHEMERA_ADMIN_HOST)
        ? names.map((name) => name.toLowerCase())
        : undefined,
    trustedProxies: input.EPHEMERA_TRUSTED_PROXIES,
    port: input.EPHEMERA_DASHBOARD_PORT,
    adminToken: input.EPHEMERA_ADMIN_TOKEN,
    tokensPath: input.EPHEMERA_CONFIG,
    tombstone: input.EPHEMERA_TOMBSTONE * 1000,
  };
}
