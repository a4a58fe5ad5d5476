import {
  COMMON,
  ConfigError,
  TRACING,
  adminHost,
  count,
  duration,
  port,
  readEnvironment,
  readRegistryLogins,
  redisAddressOf,
  signingKeys,
  signingKeysFile,
  tracingOf,
  sizeText,
} from '@ephemera/config';
import { HOST_ID, REACHES } from '@ephemera/domain';
import {
  DEFAULT_HOST_LISTEN,
  PUBLISHED_PORTS,
  hostReach,
  parseHostListen,
  parsePortRange,
} from '@ephemera/worker';
import { z } from 'zod';
import type { HostReach, WorkerConfig } from '@ephemera/worker';

const SUBNETS = 'must be IPv4 /16 ranges such as 10.231.0.0/16, comma-separated';
const LISTEN =
  'an IPv4 address or network with an optional port, such as 10.0.0.7:8084 or 10.0.0.0/24';
/** One or more `a.b.0.0/16`. */
const SUBNET_LIST = /^(?:\d{1,3}\.\d{1,3}\.0\.0\/16)(?:,\d{1,3}\.\d{1,3}\.0\.0\/16)*$/;

/**
 * The settings, by environment variable. The reference documentation is generated from this schema.
 */
export const schema = z.object({
  ...COMMON,
  EPHEMERA_ADMIN_HOST: adminHost,
  EPHEMERA_SIGNING_KEYS: signingKeys,
  EPHEMERA_SIGNING_KEYS_FILE: signingKeysFile,
  EPHEMERA_WORKER_PORT: port(8083).describe(
    'Port of the health checks and the metrics of the worker.',
  ),
  DOCKER_HOST: z
    .string()
    .default('unix:///var/run/docker.sock')
    .describe('Address of the Docker daemon: `unix:///path` or `tcp://host:port`.'),
  EPHEMERA_HOST_ID: z
    .string()
    .regex(HOST_ID, 'must be lowercase letters, digits and hyphens, at most 63')
    .optional()
    .describe(
      'Id of this host, one per Docker daemon. Default: derived from the name and the id that the daemon reports.',
    ),
  EPHEMERA_HOST_LISTEN: z
    .string()
    .default(DEFAULT_HOST_LISTEN.on)
    .transform((text, context) => {
      const parsed = parseHostListen(text);
      if (parsed) return parsed;
      context.addIssue({ code: 'custom', message: `"${text}" is not ${LISTEN}` });
      return z.NEVER;
    })
    .describe(
      'Address on which this worker listens for proxies, which need it for logs and resource usage, to pause and to resume: an IPv4 address, or an IPv4 network such as `10.0.0.0/24` in which this machine has an address; with `:port`, or a free port. The default serves proxies of the same machine. Connections use TLS with a certificate that the worker makes at its start. Needs `EPHEMERA_SIGNING_KEYS`; without them the worker does not listen.',
    ),
  EPHEMERA_HOST_ADVERTISE: z
    .string()
    .regex(/^[\w.-]+:\d{1,5}$/, 'must be an address or a name with a port, such as 192.0.2.7:8084')
    .optional()
    .describe(
      'Address or name, with the port, under which proxies reach this worker, if it differs from what `EPHEMERA_HOST_LISTEN` says: behind a port mapping, or if it listens on `0.0.0.0`.',
    ),
  EPHEMERA_REACH: z
    .enum(REACHES)
    .default('bridge')
    .describe(
      'How proxies reach the instances of this host. `bridge`: at the addresses of the containers; the proxies run on this machine. `published`: each instance gets ports of `EPHEMERA_ADVERTISE`. `routed`: at the addresses of the containers, by routes of the machines of the proxies to this one. The last two need `EPHEMERA_PROXIES`. Drain the host before you change it.',
    ),
  EPHEMERA_ADVERTISE: z
    .ipv4('must be an IPv4 address of this machine, such as 10.0.0.21')
    .optional()
    .describe(
      'With `EPHEMERA_REACH=published`: the address of this machine on which the ports of instances are published. It must be private (RFC 1918 or 6598), or in `EPHEMERA_EGRESS_BLOCK` on every host.',
    ),
  EPHEMERA_PUBLISHED_PORTS: z
    .string()
    .default(`${PUBLISHED_PORTS.first}-${PUBLISHED_PORTS.last}`)
    .transform((text, context) => {
      const range = parsePortRange(text);
      if (range) return range;
      context.addIssue({
        code: 'custom',
        message: `"${text}" is not a range of at least 4096 ports from 1024 to 65535, such as 20000-32767`,
      });
      return z.NEVER;
    })
    .describe(
      'With `EPHEMERA_REACH=published`: the ports of `EPHEMERA_ADVERTISE` for instances, one for each port of a template, at least 4096. Nothing else may listen on them. The firewall rules admit only `EPHEMERA_PROXIES` to them.',
    ),
  EPHEMERA_PROXIES: z
    .string()
    .transform((text) => text.split(','))
    .pipe(
      z.array(z.cidrv4('must be IPv4 ranges such as 10.0.0.11/32,10.0.1.0/24, comma-separated')),
    )
    .optional()
    .describe(
      'With `EPHEMERA_REACH=published` or `routed`: the IPv4 ranges of the machines with proxies, comma-separated. Only these may connect to instances, as this machine sees their addresses. At most a /8 each. All workers of a host need the same list.',
    ),
  EPHEMERA_SUBNET: z
    .string()
    .regex(SUBNET_LIST, SUBNETS)
    .transform((text) => text.split(','))
    .pipe(z.array(z.cidrv4(SUBNETS)))
    .optional()
    .describe(
      'Networks for instances: IPv4 /16 ranges, comma-separated. The worker uses the first until it is full, then the next. Default: the free ranges of 10.231.0.0/16 to 10.254.0.0/16.',
    ),
  EPHEMERA_FIREWALL: z
    .enum(['auto', 'required', 'off'])
    .default('auto')
    .describe(
      'Firewall rules for instances. `auto`: set them; where that is impossible, start only templates with `trusted: true`. `required`: refuse to start where that is impossible. `off`: set no rules and start every template.',
    ),
  EPHEMERA_FIREWALL_IMAGE: z
    .string()
    .optional()
    .describe(
      'Image with a shell and iptables, if the worker runs in a container or without root: for the helper container that sets the rules. In a container, the image needs Node 24 or later too, for the helper container that answers names in instances without egress. For a user without root, `npm start` builds one.',
    ),
  EPHEMERA_EGRESS_DNS: z
    .string()
    .default('1.1.1.1,8.8.8.8')
    .transform((text) => text.split(','))
    .pipe(z.array(z.ipv4('must be IPv4 addresses, comma-separated')))
    .describe(
      'DNS resolvers of instances with `egress: true`, comma-separated. The resolver of the host is not the default, because it would disclose internal names.',
    ),
  EPHEMERA_EGRESS_BLOCK: z
    .string()
    .optional()
    .transform((text) => (text === undefined ? [] : text.split(',')))
    .pipe(z.array(z.cidrv4('must be IPv4 ranges such as 203.0.113.0/24, comma-separated')))
    .describe(
      'IPv4 ranges that no instance may reach, comma-separated: for example, public addresses of your own machines. Private ranges are always blocked.',
    ),
  EPHEMERA_PULL_TIMEOUT: duration('10m').describe('Time limit for pulling an image.'),
  EPHEMERA_DOCKER_CONFIG: z
    .string()
    .optional()
    .describe(
      'Path of a `config.json` of Docker with logins of registries (`auths`). The worker reads it again for each pull. Credential helpers are not supported. Logins can also be in `registries` of the configuration file, which takes precedence.',
    ),
  EPHEMERA_CONFIG: z
    .string()
    .default('ephemera.yml')
    .describe(
      'Path of the configuration file. The worker reads `allow`, `images`, `registries` and `webhooks` from it.',
    ),
  EPHEMERA_MAX_INSTANCES: count(1000, 1, 1_000_000).describe(
    'Maximum number of instances on this host, over all of its networks.',
  ),
  EPHEMERA_NETWORK_INSTANCES: count(1000, 1, 1000).describe(
    'Maximum number of instances per network. The worker creates a further network after that. A bridge has 1,023 ports.',
  ),
  EPHEMERA_MAX_MEMORY: sizeText
    .optional()
    .describe(
      'Sum of the memory limits of all instances on this host, such as `24g`. Default: 80 % of the memory that the daemon reports.',
    ),
  EPHEMERA_MAX_CPUS: z.coerce
    .number({ error: 'must be a number' })
    .min(0.01, 'must be at least 0.01')
    .optional()
    .describe(
      'Sum of the CPU limits of all instances on this host. Default: no limit, because the kernel shares CPUs.',
    ),
  EPHEMERA_CPU_PERIOD: duration('10ms')
    .pipe(z.number().min(1, 'must be at least 1ms').max(1_000, 'must be at most 1s'))
    .describe(
      'Period of the CPU quota, from `1ms` to `1s`. A longer period allows longer bursts of one instance, which delay its neighbours. The worker lengthens it where the quota would fall below 1 ms.',
    ),
  EPHEMERA_SPAWN_CONCURRENCY: count(8, 1, 1000).describe(
    'Maximum number of containers that are created and started at the same time. Starts that wait for an image or a probe do not count.',
  ),
  EPHEMERA_KILL_CONCURRENCY: count(32, 1, 1000).describe(
    'Maximum number of removals at the same time. The limit applies separately to kill jobs, failed starts, container exits and repairs.',
  ),
  ...TRACING,
});

export function readConfig(environment = process.env): WorkerConfig {
  const input = readEnvironment(schema, environment);
  const sources = {
    configFile: input.EPHEMERA_CONFIG,
    dockerConfig: input.EPHEMERA_DOCKER_CONFIG,
  };
  const readLogins = () => readRegistryLogins(sources, environment);
  // Reports errors at the start.
  readLogins();
  return {
    redis: redisAddressOf(input),
    namespace: input.EPHEMERA_NAMESPACE,
    logLevel: input.EPHEMERA_LOG_LEVEL,
    tracing: tracingOf(input),
    bind: input.EPHEMERA_ADMIN_HOST,
    port: input.EPHEMERA_WORKER_PORT,
    dockerHost: input.DOCKER_HOST,
    hostId: input.EPHEMERA_HOST_ID,
    subnets: input.EPHEMERA_SUBNET,
    networkInstances: input.EPHEMERA_NETWORK_INSTANCES,
    firewall: input.EPHEMERA_FIREWALL,
    reach: readReach(input),
    firewallImage: input.EPHEMERA_FIREWALL_IMAGE,
    egress: { resolvers: input.EPHEMERA_EGRESS_DNS, blocked: input.EPHEMERA_EGRESS_BLOCK },
    pullTimeout: input.EPHEMERA_PULL_TIMEOUT,
    readLogins,
    capacity: {
      instances: input.EPHEMERA_MAX_INSTANCES,
      memory: input.EPHEMERA_MAX_MEMORY,
      cpus: input.EPHEMERA_MAX_CPUS,
    },
    cpuPeriod: input.EPHEMERA_CPU_PERIOD,
    spawnConcurrency: input.EPHEMERA_SPAWN_CONCURRENCY,
    killConcurrency: input.EPHEMERA_KILL_CONCURRENCY,
    tombstone: input.EPHEMERA_TOMBSTONE * 1000,
    hostListen: { ...input.EPHEMERA_HOST_LISTEN, advertise: input.EPHEMERA_HOST_ADVERTISE },
    signingKeys: input.EPHEMERA_SIGNING_KEYS,
    signingKeysFile: input.EPHEMERA_SIGNING_KEYS_FILE,
    configFile: input.EPHEMERA_CONFIG,
    environment,
  };
}

function readReach(input: z.infer<typeof schema>): HostReach {
  const reach = hostReach({
    reach: input.EPHEMERA_REACH,
    advertise: input.EPHEMERA_ADVERTISE,
    ports: input.EPHEMERA_PUBLISHED_PORTS,
    proxies: input.EPHEMERA_PROXIES,
    firewall: input.EPHEMERA_FIREWALL,
    blocked: input.EPHEMERA_EGRESS_BLOCK,
  });
  if ('kind' in reach) return reach;
  throw new ConfigError('The environment', reach);
}
