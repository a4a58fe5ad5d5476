import {
  COMMON,
  TRACING,
  adminHost,
  adminToken,
  adminTokenFile,
  checkAdminInterface,
  count,
  domain,
  domainWithPort,
  publicUrlOf,
  duration,
  list,
  port,
  readEnvironment,
  redisAddressOf,
  signingKeys,
  signingKeysFile,
  tracingOf,
  size,
  trustedProxies,
} from '@ephemera/config';
import { z } from 'zod';
import { THEMES } from '@ephemera/proxy';
import type { ProxyConfig } from '@ephemera/proxy';

/**
 * The settings, by environment variable. The reference documentation is generated from this schema.
 */
export const schema = z.object({
  ...COMMON,
  EPHEMERA_PUBLIC_PORT: port(8080).describe(
    'Port for visitors: starts of instances, and their traffic.',
  ),
  EPHEMERA_ADMIN_PORT: port(8081).describe(
    'Port of the control API, the health checks and the metrics of the proxy.',
  ),
  EPHEMERA_ADMIN_HOST: adminHost,
  EPHEMERA_ADMIN_NAMES: list.describe(
    'Host names that the admin port answers to, besides IP addresses, `localhost` and the name that it is bound to, separated by commas or spaces. Other names get 421, except for the health checks, `/metrics` and `/tls/ask`.',
  ),
  EPHEMERA_ADMIN_TOKEN: adminToken,
  EPHEMERA_ADMIN_TOKEN_FILE: adminTokenFile,
  EPHEMERA_SIGNING_KEYS: signingKeys,
  EPHEMERA_SIGNING_KEYS_FILE: signingKeysFile,
  EPHEMERA_CONFIG: z
    .string()
    .default('ephemera.yml')
    .describe('Path of the configuration file with templates, tokens and webhooks.'),
  EPHEMERA_PREFIX: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,30}$/, 'must be lowercase letters, digits and hyphens')
    .default('demo')
    .describe('First segment of the path form, `/{prefix}/{id}/`.'),
  EPHEMERA_PUBLIC_URL: z
    .url({ protocol: /^https?$/, error: 'must be an http:// or https:// address' })
    .optional()
    .describe(
      'URL under which visitors reach the public port. All replicas need the same value. A path in it, such as `/outer`, is what a load balancer removes before it forwards a request. Default: `http://localhost:` and the public port.',
    ),
  EPHEMERA_DOMAIN: domain,
  EPHEMERA_TRUSTED_PROXIES: trustedProxies,
  EPHEMERA_CONNECTIONS_PER_ADDRESS: count(2_000, 1, 50_000).describe(
    'Maximum number of connections of one client (an IPv4 address or an IPv6 /64) to the public port of a replica, at most half of all. Further ones are closed at once. Addresses in `EPHEMERA_TRUSTED_PROXIES` are exempt. All clients together may have half of the descriptors that the process may open (`ulimit -n`), after a reserve of 512 and a tenth for the admin port, and at most 50,000.',
  ),
  EPHEMERA_WEBSOCKETS_PER_INSTANCE: count(1_000, 1, 50_000).describe(
    'Maximum number of open WebSockets of one instance in a replica, in use or idle. Further handshakes get 503. An idle WebSocket stays open.',
  ),
  EPHEMERA_ACCESS_LOG: z
    .enum(['off', 'on'])
    .default('off')
    .describe(
      '`on`: each request for an instance is logged when it ends, and each WebSocket when it closes, whatever the log level: JSON with `log: access`, id, template, method, path without query, status, duration, time of the instance, bytes, client address.',
    ),
  EPHEMERA_START_WAIT: duration('30s').describe(
    'How long a request waits for an instance that is still starting. After that it gets 503.',
  ),
  EPHEMERA_THEME: z.enum(THEMES).default('calm').describe('Theme of the waiting page.'),
  EPHEMERA_THEME_FILE: z
    .string()
    .optional()
    .describe(
      'Path of a custom waiting page (HTML). Read at start-up. See docs/guides/waiting-page.md.',
    ),
  EPHEMERA_RESPONSE_TIMEOUT: duration('60s').describe(
    'How long an instance may take to begin its response. After that the client gets 504. `0s`: no limit.',
  ),
  EPHEMERA_MAX_REQUEST_HEADER: size('32k', '8k', '256k').describe(
    'Maximum size of the request line and header fields of one request, from `8k` to `256k`. A larger one gets 431. A load balancer in front must accept as much: `tune.bufsize` of HAProxy, `large_client_header_buffers` of nginx.',
  ),
  EPHEMERA_MAX_REQUEST_FIELDS: count(200, 20, 500).describe(
    'Maximum number of header fields of one request, from 20 to 500. More get 431. A load balancer in front must accept as many: `tune.http.maxhdr` of HAProxy.',
  ),
  EPHEMERA_MAX_RESPONSE_HEADER: size('64k', '8k', '1m').describe(
    'Maximum size of the status line and header fields of one response of an instance, from `8k` to `1m`. A larger one becomes 502. A load balancer in front must accept as much: `tune.bufsize` of HAProxy, `proxy_buffer_size` of nginx.',
  ),
  EPHEMERA_REDIS_GRACE: duration('30s').describe(
    'How long known routes stay in use while Redis is unavailable.',
  ),
  EPHEMERA_UNREADY: duration('0s').describe(
    'How long a shutdown waits after it reports not ready and before it closes the port, so that the load balancer notices.',
  ),
  EPHEMERA_DRAIN: duration('10s').describe(
    'How long a shutdown waits for open requests and WebSockets.',
  ),
  EPHEMERA_ROUTES: count(200_000, 1, 10_000_000).describe(
    'Maximum number of routes in the memory of a replica.',
  ),
  ...TRACING,
});

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
    tracing: tracingOf(input),
    bind: input.EPHEMERA_HOST,
    publicPort,
    adminPort: input.EPHEMERA_ADMIN_PORT,
    adminBind: input.EPHEMERA_ADMIN_HOST,
    adminNames: input.EPHEMERA_ADMIN_NAMES,
    adminToken: input.EPHEMERA_ADMIN_TOKEN,
    signingKeys: input.EPHEMERA_SIGNING_KEYS,
    signingKeysFile: input.EPHEMERA_SIGNING_KEYS_FILE,
    templatesPath: input.EPHEMERA_CONFIG,
    prefix: input.EPHEMERA_PREFIX,
    publicUrl: publicUrlOf(input),
    domain: domainWithPort(input),
    trustedProxies: input.EPHEMERA_TRUSTED_PROXIES,
    connectionsPerAddress: input.EPHEMERA_CONNECTIONS_PER_ADDRESS,
    webSocketsPerInstance: input.EPHEMERA_WEBSOCKETS_PER_INSTANCE,
    accessLog: input.EPHEMERA_ACCESS_LOG === 'on',
    startWait: input.EPHEMERA_START_WAIT,
    theme: input.EPHEMERA_THEME,
    themeFile: input.EPHEMERA_THEME_FILE,
    responseTimeout: input.EPHEMERA_RESPONSE_TIMEOUT,
    maxRequestHeader: input.EPHEMERA_MAX_REQUEST_HEADER,
    maxRequestFields: input.EPHEMERA_MAX_REQUEST_FIELDS,
    maxResponseHeader: input.EPHEMERA_MAX_RESPONSE_HEADER,
    redisGrace: input.EPHEMERA_REDIS_GRACE,
    unreadyFor: input.EPHEMERA_UNREADY,
    drainFor: input.EPHEMERA_DRAIN,
    routes: input.EPHEMERA_ROUTES,
    tombstone: input.EPHEMERA_TOMBSTONE * 1000,
  };
}
