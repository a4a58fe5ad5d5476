/** A place where a port of the product is made, and the name that its calls go by. */
export interface Port {
  /** End of the file's path. */
  readonly file: string;
  /** The exported function that makes the port, or that is the call itself. */
  readonly made: string;
  readonly port: string;
  readonly kind: 'factory' | 'call';
}

const factory = (file: string, made: string, port: string): Port => ({
  file,
  made,
  port,
  kind: 'factory',
});

/** Every port that a process can be struck at. The product has no switch for it: see change-source.ts. */
export const PORTS: readonly Port[] = [
  factory('libs/store/src/redis-instances.ts', 'redisInstances', 'instances'),
  factory('libs/store/src/redis-intake.ts', 'redisIntake', 'intake'),
  factory('libs/store/src/redis-intake.ts', 'redisStartQueue', 'startQueue'),
  factory('libs/store/src/redis-pools.ts', 'redisPools', 'pools'),
  factory('libs/store/src/redis-leases.ts', 'redisLeases', 'leases'),
  factory('libs/store/src/event-group.ts', 'redisEventGroup', 'events'),
  factory('libs/queue/src/producers.ts', 'createProducers', 'jobs'),
  factory('libs/queue/src/refills.ts', 'createRefills', 'refills'),
  factory('libs/queue/src/deliveries.ts', 'createDeliveries', 'deliveries'),
  factory('apps/worker/src/docker/connect-docker.ts', 'connectDocker', 'docker'),
  factory('apps/worker/src/docker/docker-containers.ts', 'dockerContainers', 'containers'),
  { file: 'apps/worker/src/probe.ts', made: 'probe', port: 'probe', kind: 'call' },
  { file: 'apps/worker/src/webhooks/deliver.ts', made: 'deliver', port: 'deliver', kind: 'call' },
];

const FUNCTION = /^export (async )?function /;

/** The source of a file with its ports watched; undefined where it makes none. */
export function watched(path: string, source: string): string | undefined {
  const here = PORTS.filter(({ file }) => path.endsWith(file));
  if (here.length === 0) return undefined;
  return here.reduce((text, { made, port, kind, file }) => {
    const found = [
      `export function ${made}(`,
      `export async function ${made}(`,
      `export const ${made}: `,
    ].find((item) => text.split(item).length === 2);
    if (found === undefined) throw new Error(`${file} makes no ${made}`);
    const own = `${made}Unwrapped`;
    const call = `globalThis.injected.${kind}('${port}', () => ${own}(...given))`;
    const around = `export function ${made}(...given) { return ${call}; }\n`;
    const kept = FUNCTION.test(found)
      ? found.replace('export ', '').replace(`${made}(`, `${own}(`)
      : `const ${own}: `;
    return text.replace(found, () => around + kept);
  }, source);
}
