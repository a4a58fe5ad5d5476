import {
  COMMON,
  adminHost,
  adminToken,
  checkAdminFace,
  port,
  readEnvironment,
  redisAddressOf,
} from '@ephemera/runtime';
import type { RedisAddress } from '@ephemera/store';
import { z } from 'zod';

/** The settings by their names in the environment; the reference is made from it. */
export const schema = z.object({
  ...COMMON,
  EPHEMERA_DASHBOARD_PORT: port(8082).describe('The instances page and the queues.'),
  EPHEMERA_ADMIN_HOST: adminHost,
  EPHEMERA_ADMIN_TOKEN: adminToken,
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
  readonly port: number;
  readonly adminToken: string | undefined;
  /** The file that tokens are read from, where there is one. */
  readonly tokensPath: string;
  readonly tombstone: number;
}

/** @throws ConfigError with every fault at once */
export function readConfig(environment = process.env): DashboardConfig {
  const given = readEnvironment(schema, environment);
  checkAdminFace({ bind: given.EPHEMERA_ADMIN_HOST, token: given.EPHEMERA_ADMIN_TOKEN });
  return {
    redis: redisAddressOf(given),
    namespace: given.EPHEMERA_NAMESPACE,
    logLevel: given.EPHEMERA_LOG_LEVEL,
    bind: given.EPHEMERA_ADMIN_HOST,
    port: given.EPHEMERA_DASHBOARD_PORT,
    adminToken: given.EPHEMERA_ADMIN_TOKEN,
    tokensPath: given.EPHEMERA_CONFIG,
    tombstone: given.EPHEMERA_TOMBSTONE * 1000,
  };
}
