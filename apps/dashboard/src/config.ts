import { COMMON, count, port, readEnvironment } from '@ephemera/runtime';
import { z } from 'zod';

/** The settings by their names in the environment; the reference is made from it. */
export const schema = z.object({
  ...COMMON,
  EPHEMERA_DASHBOARD_PORT: port(8082),
  /** What a person signs in with, and a program sends as bearer token. */
  EPHEMERA_ADMIN_TOKEN: z
    .string({ error: 'must be set' })
    .min(16, 'must have at least 16 characters'),
  /** How long a dead id still answers with its reason, seconds. */
  EPHEMERA_TOMBSTONE: count(3600, 1, 604_800),
});

/** Settings of the dashboard; durations in milliseconds. */
export interface DashboardConfig {
  readonly redisUrl: string;
  readonly namespace: string;
  readonly logLevel: string;
  readonly bind: string;
  readonly port: number;
  readonly adminToken: string;
  readonly tombstone: number;
}

/** @throws ConfigError with every fault at once */
export function readConfig(environment = process.env): DashboardConfig {
  const given = readEnvironment(schema, environment);
  return {
    redisUrl: given.EPHEMERA_REDIS_URL,
    namespace: given.EPHEMERA_NAMESPACE,
    logLevel: given.EPHEMERA_LOG_LEVEL,
    bind: given.EPHEMERA_HOST,
    port: given.EPHEMERA_DASHBOARD_PORT,
    adminToken: given.EPHEMERA_ADMIN_TOKEN,
    tombstone: given.EPHEMERA_TOMBSTONE * 1000,
  };
}
