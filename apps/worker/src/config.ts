import type { Capacity } from '@ephemera/domain';
import type { Webhook } from '@ephemera/domain';
import {
  COMMON,
  adminHost,
  count,
  duration,
  loadWebhooks,
  port,
  readEnvironment,
  redisAddressOf,
  sizeText,
} from '@ephemera/config';
import type { RedisAddress } from '@ephemera/store';
import { z } from 'zod';
import type { EgressRules } from '@ephemera/worker';

const SUBNETS = 'must be IPv4 /16s such as 10.231.0.0/16, with commas';
/** `a.b.0.0/16`, once or more. */
const SUBNET_LIST = /^(?:\d{1,3}\.\d{1,3}\.0\.0\/16)(?:,\d{1,3}\.\d{1,3}\.0\.0\/16)*$/;

/** The settings by their names in the environment; the reference is made from it. */
export const schema = z.object({
  ...COMMON,
  EPHEMERA_ADMIN_HOST: adminHost,
  EPHEMERA_WORKER_PORT: port(8083).describe('Health and metrics of the worker.'),
  DOCKER_HOST: z
    .string()
    .default('unix:///var/run/docker.sock')
    .describe('The Docker daemon: `unix:///path` or `tcp://host:port`, as Docker has it.'),
  EPHEMERA_HOST_ID: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be lowercase letters, digits and hyphens, at most 63')
    .optional()
    .describe(
      "Name of this Docker daemon among the hosts; the daemon's own name and id where unset.",
    ),
  EPHEMERA_SUBNET: z
    .string()
    .regex(SUBNET_LIST, SUBNETS)
    .transform((text) => text.split(','))
    .pipe(z.array(z.cidrv4(SUBNETS)))
    .optional()
    .describe(
      "The instances' networks, IPv4 /16s with commas: the first is used until it is full, and so on; the free ones of 10.231.0.0/16 to 10.254.0.0/16 where unset.",
    ),
  EPHEMERA_FIREWALL: z
    .enum(['auto', 'required', 'off'])
    .default('auto')
    .describe(
      '`auto` sets the rules, and starts only trusted templates where it cannot; `required` refuses to start then; `off` sets none and starts everything.',
    ),
  EPHEMERA_FIREWALL_IMAGE: z
    .string()
    .optional()
    .describe('An image with iptables, to set the rules from where the worker itself cannot.'),
  EPHEMERA_EGRESS_DNS: z
    .string()
    .default('1.1.1.1,8.8.8.8')
    .transform((text) => text.split(','))
    .pipe(z.array(z.ipv4('must be IPv4 addresses, with commas')))
    .describe(
      "The resolvers of instances with egress, with commas: yours tells them your names, so the default is not the host's own.",
    ),
  EPHEMERA_EGRESS_BLOCK: z
    .string()
    .optional()
    .transform((text) => (text === undefined ? [] : text.split(',')))
    .pipe(z.array(z.cidrv4('must be IPv4 ranges such as 203.0.113.0/24, with commas')))
    .describe(
      'Ranges that no instance reaches, with commas: public addresses of yours, beside what is private anyway.',
    ),
  EPHEMERA_PULL_TIMEOUT: duration('10m').describe(
    'How long it may take to pull an image that is not on the host.',
  ),
  EPHEMERA_CONFIG: z
    .string()
    .default('ephemera.yml')
    .describe('The templates, what they may ask for, tokens and webhooks.'),
  EPHEMERA_MAX_INSTANCES: count(1000, 1, 1_000_000).describe(
    'How many instances this host holds, on as many networks as that takes.',
  ),
  EPHEMERA_NETWORK_INSTANCES: count(1000, 1, 1000).describe(
    'How many instances one network takes before a further one is made; a bridge has 1,023 ports.',
  ),
  EPHEMERA_MAX_MEMORY: sizeText
    .optional()
    .describe(
      "How much memory the instances of this host may be promised; 80 % of the daemon's where unset.",
    ),
  EPHEMERA_MAX_CPUS: z.coerce
    .number({ error: 'must be a number' })
    .min(0.01, 'must be at least 0.01')
    .optional()
    .describe('How many CPUs they may be promised; no bound where unset, since CPUs are shared.'),
  EPHEMERA_CPU_PERIOD: duration('10ms')
    .pipe(z.number().min(1, 'must be at least 1ms').max(1_000, 'must be at most 1s'))
    .describe(
      'Over how long the CPU time of an instance is counted, 1ms to 1s: the longer, the longer it may take all cores at once, and the longer others wait then. It is longer for a share of which the kernel would make less than 1 ms.',
    ),
  EPHEMERA_SPAWN_CONCURRENCY: count(8, 1, 1000).describe(
    'How many containers are created and started at once; those that wait for their image, or for an answer, do not count.',
  ),
  EPHEMERA_KILL_CONCURRENCY: count(32, 1, 1000).describe(
    'How many instances are removed at once at most: so many by kill jobs, as many by failed starts, as many by exits, and as many by repairs (of which 8 are under way).',
  ),
});

/** Settings of the worker; durations in milliseconds. */
export interface WorkerConfig {
  readonly redis: RedisAddress;
  readonly namespace: string;
  readonly logLevel: string;
  readonly bind: string;
  readonly port: number;
  readonly dockerHost: string;
  readonly hostId: string | undefined;
  readonly subnets: readonly string[] | undefined;
  readonly networkInstances: number;
  readonly firewall: 'auto' | 'required' | 'off';
  readonly firewallImage: string | undefined;
  readonly egress: EgressRules;
  readonly pullTimeout: number;
  readonly capacity: Capacity;
  readonly cpuPeriod: number;
  readonly spawnConcurrency: number;
  readonly killConcurrency: number;
  readonly tombstone: number;
  readonly webhooks: readonly Webhook[];
  readonly configFile: string;
}

export function readConfig(environment = process.env): WorkerConfig {
  const input = readEnvironment(schema, environment);
  return {
    redis: redisAddressOf(input),
    namespace: input.EPHEMERA_NAMESPACE,
    logLevel: input.EPHEMERA_LOG_LEVEL,
    bind: input.EPHEMERA_ADMIN_HOST,
    port: input.EPHEMERA_WORKER_PORT,
    dockerHost: input.DOCKER_HOST,
    hostId: input.EPHEMERA_HOST_ID,
    subnets: input.EPHEMERA_SUBNET,
    networkInstances: input.EPHEMERA_NETWORK_INSTANCES,
    firewall: input.EPHEMERA_FIREWALL,
    firewallImage: input.EPHEMERA_FIREWALL_IMAGE,
    egress: { resolvers: input.EPHEMERA_EGRESS_DNS, blocked: input.EPHEMERA_EGRESS_BLOCK },
    pullTimeout: input.EPHEMERA_PULL_TIMEOUT,
    capacity: {
      instances: input.EPHEMERA_MAX_INSTANCES,
      memory: input.EPHEMERA_MAX_MEMORY,
      cpus: input.EPHEMERA_MAX_CPUS,
    },
    cpuPeriod: input.EPHEMERA_CPU_PERIOD,
    spawnConcurrency: input.EPHEMERA_SPAWN_CONCURRENCY,
    killConcurrency: input.EPHEMERA_KILL_CONCURRENCY,
    tombstone: input.EPHEMERA_TOMBSTONE * 1000,
    configFile: input.EPHEMERA_CONFIG,
    webhooks: loadWebhooks(input.EPHEMERA_CONFIG, environment),
  };
}
