import {
  COMMON,
  adminHost,
  adminToken,
  adminTokenFile,
  checkAdminInterface,
  list,
  port,
  readEnvironment,
  redisAddressOf,
  trustedProxies,
} from '@ephemera/config';
import type { DashboardConfig } from '@ephemera/dashboard';
import { z } from 'zod';

/**
 * The settings, by environment variable. The reference documentation is generated from this schema.
 */
export const schema = z.object({
  ...COMMON,
  EPHEMERA_DASHBOARD_PORT: port(8082).describe('Port of the dashboard.'),
  EPHEMERA_ADMIN_HOST: adminHost,
  EPHEMERA_ADMIN_TOKEN: adminToken,
  EPHEMERA_ADMIN_TOKEN_FILE: adminTokenFile,
  EPHEMERA_DASHBOARD_NAMES: list.describe(
    'Host names that the dashboard answers to, besides IP addresses, `localhost` and the name that it is bound to, separated by commas or spaces. Other names get 421, except for the health checks.',
  ),
  EPHEMERA_TRUSTED_PROXIES: trustedProxies,
  EPHEMERA_CONFIG: z
    .string()
    .default('ephemera.yml')
    .describe('Path of the configuration file with templates, tokens and webhooks.'),
});

/** @throws ConfigError with every issue at once */
export function readConfig(environment = process.env): DashboardConfig {
  const input = readEnvironment(schema, environment);
  checkAdminInterface({
    binds: { EPHEMERA_ADMIN_HOST: input.EPHEMERA_ADMIN_HOST },
    token: input.EPHEMERA_ADMIN_TOKEN,
  });
  return {
    redis: redisAddressOf(input),
    namespace: input.EPHEMERA_NAMESPACE,
    logLevel: input.EPHEMERA_LOG_LEVEL,
    bind: input.EPHEMERA_ADMIN_HOST,
    names: input.EPHEMERA_DASHBOARD_NAMES,
    trustedProxies: input.EPHEMERA_TRUSTED_PROXIES,
    port: input.EPHEMERA_DASHBOARD_PORT,
    adminToken: input.EPHEMERA_ADMIN_TOKEN,
    tokensPath: input.EPHEMERA_CONFIG,
    tombstone: input.EPHEMERA_TOMBSTONE * 1000,
  };
}
