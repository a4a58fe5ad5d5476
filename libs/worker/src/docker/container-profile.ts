import type { Instance, Template } from '@ephemera/domain';
import type { ContainerCreateOptions, HostConfig } from 'dockerode';

export interface ContainerPlacement {
  readonly name: string;
  readonly network: string;
  readonly address: string;
  readonly labels: Record<string, string>;
  /** Where the image wants volumes. */
  readonly volumes: readonly string[];
  /** The resolvers that instances with egress ask. */
  readonly resolvers: readonly string[];
  /** Runtime, profiles and users, as this host has them. */
  readonly isolation: HostConfig;
  /** Over how long CPU time is counted, ms. */
  readonly cpuPeriod: number;
}

/** What no template can lift: a visitor's container must not be able to hurt its host. */
const ALWAYS: HostConfig = {
  Privileged: false,
  CapDrop: ['ALL'],
  IpcMode: 'private',
  Init: true,
  RestartPolicy: { Name: 'no' },
  OomScoreAdj: 500,
  Ulimits: [
    { Name: 'nofile', Soft: 16_384, Hard: 16_384 },
    { Name: 'core', Soft: 0, Hard: 0 },
  ],
  LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '2' } },
};

/**
 * Docker's resolver, which every container has at 127.0.0.11, asks on behalf of the container, and
 * asks a resolver on the host's loopback from the host itself, where no rule holds it: a way out
 * for whoever can look up names. So it is given one that is nowhere (TEST-NET-1, RFC 5737).
 */
const UNREACHABLE_RESOLVER = ['192.0.2.1'];

/**
 * Weight of an instance per CPU that it may have, where a container that says nothing weighs 1,024:
 * when all want the processor, proxies, Redis and whatever else runs beside them on the daemon come first.
 */
const WEIGHT = 128;

/** Of what stands in the place of an image's volume; what is in it counts as memory. */
const VOLUME_SIZE = 64 * 1024 ** 2;

/** The container of an instance, as the daemon's create call takes it. */
export function containerProfile(
  instance: Instance,
  place: ContainerPlacement,
): ContainerCreateOptions {
  const { template } = instance;
  const { memory, cpus, pids } = template.limits;
  const fill = placeholders(instance);
  return {
    name: place.name,
    Image: template.image,
    Labels: place.labels,
    Env: environment(instance).map(([name, value]) => `${name}=${fill(value)}`),
    ...(template.command && { Cmd: template.command.map(fill) }),
    ...(template.user !== undefined && { User: template.user }),
    // An image's own is run by the daemon, again and again, and no limit of the instance bounds that.
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      ...place.isolation,
      ...ALWAYS,
      CapAdd: [...template.capAdd],
      Memory: memory,
      MemorySwap: memory,
      ...cpuTime(cpus, place.cpuPeriod),
      CpuShares: Math.max(2, Math.round(cpus * WEIGHT)),
      PidsLimit: pids,
      ReadonlyRootfs: template.readOnly,
      Tmpfs: tmpfs({ ...volumeMounts(place.volumes, template), ...template.tmpfs }),
      NetworkMode: place.network,
      Dns: template.egress ? [...place.resolvers] : UNREACHABLE_RESOLVER,
      DnsSearch: ['.'],
    },
    NetworkingConfig: {
      EndpointsConfig: {
        [place.network]: { IPAMConfig: { IPv4Address: place.address } },
      },
    },
  };
}

/** The least that the kernel counts, in microseconds, as all that Docker takes here. */
const MIN_CPU_QUOTA = 1_000;
const MAX_CPU_PERIOD = 1_000_000;

/**
 * What Docker's `--cpus` sets, counted over a shorter time than its 100 ms: an instance with half a CPU
 * and four busy processes has both cores of a host for 25 of them, and whoever wants them waits.
 */
function cpuTime(cpus: number, periodMs: number): Pick<HostConfig, 'CpuPeriod' | 'CpuQuota'> {
  const least = Math.ceil(MIN_CPU_QUOTA / cpus);
  const period = Math.min(Math.max(periodMs * 1_000, least), MAX_CPU_PERIOD);
  return { CpuPeriod: period, CpuQuota: Math.round(cpus * period) };
}

function environment(instance: Instance): [string, string][] {
  return Object.entries({
    ...instance.template.env,
    ...instance.env,
    EPHEMERA_ID: '{id}',
    EPHEMERA_PORT: '{port}',
    EPHEMERA_BASE_PATH: '{basePath}',
    EPHEMERA_URL: '{url}',
  });
}

/** Fills `{id}`, `{port}`, `{basePath}`, `{url}` and `{token}`; other braces stay as they are. */
function placeholders(instance: Instance): (text: string) => string {
  const values: Readonly<Record<string, string>> = {
    id: instance.id,
    port: String(instance.template.port),
    basePath: new URL(instance.url).pathname.replace(/\/$/, ''),
    url: instance.url,
    token: instance.token ?? '',
  };
  return (text) =>
    text.replace(/\{(id|port|basePath|url|token)\}/g, (_, key: string) => values[key] ?? '');
}

/**
 * Docker would make a volume on the host's disk for each that an image declares: writable where
 * the root file system is not, and without a bound.
 */
function volumeMounts(
  volumes: readonly string[],
  { readOnly, limits }: Template,
): Record<string, number> {
  if (!readOnly) return {};
  return Object.fromEntries(volumes.map((path) => [path, Math.min(VOLUME_SIZE, limits.memory)]));
}

function tmpfs(sizes: Readonly<Record<string, number>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(sizes).map(([path, size]) => [
      path,
      `rw,noexec,nosuid,nodev,size=${size},mode=1777`,
    ]),
  );
}
