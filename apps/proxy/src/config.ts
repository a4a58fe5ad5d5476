import {
  COMMON,
  adminHost,
  adminToken,
  adminTokenFile,
  checkAdminInterface,
  count,
  duration,
  port,
  readEnvironment,
  redisAddressOf,
  trustedProxies,
} from '@ephemera/config';
import type { RedisAddress } from '@ephemera/store';
import { z } from 'zod';
import { THEMES, type ThemeName } from '@ephemera/proxy';

/** The settings by their names in the environment; the reference is made from it. */
export const schema = z.object({
  ...COMMON,
  EPHEMERA_PUBLIC_PORT: port(8080).describe("The data path and the visitors' entrance."),
  EPHEMERA_ADMIN_PORT: port(8081).describe('The control API, health and metrics.'),
  EPHEMERA_ADMIN_HOST: adminHost,
  EPHEMERA_ADMIN_TOKEN: adminToken,
  EPHEMERA_ADMIN_TOKEN_FILE: adminTokenFile,
  EPHEMERA_SIGNING_KEYS: z
    .string()
    .optional()
    .describe(
      'What signs links and challenges: random, at least 32 characters, the same for all replicas. With commas: the first signs, all are known by.',
    ),
  EPHEMERA_SIGNING_KEYS_FILE: z
    .string()
    .optional()
    .describe('A file with them, one a line, in their place; read again when it changes.'),
  EPHEMERA_CONFIG: z
    .string()
    .default('ephemera.yml')
    .describe('The templates, tokens and webhooks.'),
  EPHEMERA_PREFIX: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,30}$/, 'must be lowercase letters, digits and hyphens')
    .default('demo')
    .describe('First segment of the path form.'),
  EPHEMERA_PUBLIC_URL: z
    .url({ protocol: /^https?$/, error: 'must be an http:// or https:// address' })
    .optional()
    .describe(
      'How visitors reach the public port, the same for all replicas; http://localhost:PORT where unset.',
    ),
  EPHEMERA_DOMAIN: z
    .string()
    .regex(/^[a-z0-9.-]+(:\d+)?$/, 'must be a domain such as demos.example.org')
    .optional()
    .describe('Each instance its own origin, `{id}.DOMAIN`; off where unset.'),
  EPHEMERA_TRUSTED_PROXIES: trustedProxies,
  EPHEMERA_START_WAIT: duration('30s').describe(
    'How long a request waits for an instance that still starts.',
  ),
  EPHEMERA_THEME: z
    .enum(THEMES)
    .default('calm')
    .describe('The look of the page that people see while an instance starts.'),
  EPHEMERA_THEME_FILE: z
    .string()
    .optional()
    .describe('An HTML page of your own in its place; see docs/WAITING.md.'),
  EPHEMERA_RESPONSE_TIMEOUT: duration('60s').describe(
    'How long an instance may take until its answer begins; 0s: for ever.',
  ),
  EPHEMERA_REDIS_GRACE: duration('30s').describe(
    'How long known routes are used while Redis is away.',
  ),
  EPHEMERA_UNREADY: duration('0s').describe(
    'How long a stop waits before it closes the ports, for the balancer to notice.',
  ),
  EPHEMERA_DRAIN: duration('10s').describe('How long a stop waits for open requests and tunnels.'),
  EPHEMERA_ROUTES: count(200_000, 1, 10_000_000).describe('How many routes are kept in memory.'),
});

/** Settings of a proxy replica; durations in milliseconds. */
export interface ProxyConfig {
  readonly redis: RedisAddress;
  readonly namespace: string;
  readonly logLevel: string;
  readonly bind: string;
  readonly publicPort: number;
  readonly adminPort: number;
  readonly adminBind: string;
  readonly adminToken: string | undefined;
  readonly signingKeys: string | undefined;
  readonly signingKeysFile: string | undefined;
  readonly templatesPath: string;
  readonly prefix: string;
  readonly publicUrl: string;
  readonly domain: string | undefined;
  readonly trustedProxies: readonly string[];
  readonly startWait: number;
  readonly theme: ThemeName;
  readonly themeFile: string | undefined;
  readonly responseTimeout: number;
  readonly redisGrace: number;
  readonly unreadyFor: number;
  readonly drainFor: number;
  readonly routes: number;
  readonly tombstone: number;
}

export function readConfig(environment = process.env): ProxyConfig {
  const input = readEnvironment(schema, environment);
  const publicPort = input.EPHEMERA_PUBLIC_PORT;
  checkAdminInterface({
    binds: {
      EPHEMERA_ADMIN_HOST: input.EPHEMERA_ADMIN_HOST,
      EPHEMERA_HOST: input.EPHEMERA_HOST,
    },
    token: input.EPHEMERA_ADMIN_TOKEN,
    ports: { EPHEMERA_PUBLIC_PORT: publicPort, EPHEMERA_ADMIN_PORT: input.EPHEMERA_ADMIN_PORT },
  });
  return {
    redis: redisAddressOf(input),
    namespace: input.EPHEMERA_NAMESPACE,
    logLevel: input.EPHEMERA_LOG_LEVEL,
    bind: input.EPHEMERA_HOST,
    publicPort,
    adminPort: input.EPHEMERA_ADMIN_PORT,
    adminBind: input.EPHEMERA_ADMIN_HOST,
    adminToken: input.EPHEMERA_ADMIN_TOKEN,
    signingKeys: input.EPHEMERA_SIGNING_KEYS,
    signingKeysFile: input.EPHEMERA_SIGNING_KEYS_FILE,
    templatesPath: input.EPHEMERA_CONFIG,
    prefix: input.EPHEMERA_PREFIX,
    publicUrl: (input.EPHEMERA_PUBLIC_URL ?? `http://localhost:${publicPort}`).replace(/\/$/, ''),
    domain: input.EPHEMERA_DOMAIN,
    trustedProxies: input.EPHEMERA_TRUSTED_PROXIES,
    startWait: input.EPHEMERA_START_WAIT,
    theme: input.EPHEMERA_THEME,
    themeFile: input.EPHEMERA_THEME_FILE,
    responseTimeout: input.EPHEMERA_RESPONSE_TIMEOUT,
    redisGrace: input.EPHEMERA_REDIS_GRACE,
    unreadyFor: input.EPHEMERA_UNREADY,
    drainFor: input.EPHEMERA_DRAIN,
    routes: input.EPHEMERA_ROUTES,
    tombstone: input.EPHEMERA_TOMBSTONE * 1000,
  };
}
