import { readFile } from 'node:fs/promises';
import { basePathOf, fillPlaceholders, PROFILE_CAPABILITIES } from '@ephemera/domain';
import type { Instance, PublishedPorts, Template, Tmpfs } from '@ephemera/domain';
import { ContainerStartError } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import type { ContainerCreateOptions, HostConfig } from 'dockerode';
import { NO_RESOLVER } from '../firewall-rules.ts';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { withDeadline } from './docker-client.ts';
import { exposedPorts, portBindings } from './published-ports.ts';
import type { ImageFacts } from './read-image.ts';

export interface ContainerPlacement {
  readonly name: string;
  readonly network: string;
  readonly address: string;
  /** Ports of the host that lead to the container. */
  readonly published?: PublishedPorts | undefined;
  readonly labels: Record<string, string>;
  readonly image: Pick<ImageFacts, 'owner' | 'volumes'>;
  /** DNS resolvers of instances with egress. */
  readonly resolvers: readonly string[];
  /** Runtime, profiles and user namespace, checked against this host. */
  readonly isolation: HostConfig;
  /** Period of the CPU quota, ms. */
  readonly cpuPeriod: number;
  /** The program for file operations. */
  readonly filesHelper?: Docker.MountSettings | undefined;
}

/** Options that no template can change. They protect the host from the container. */
const ENFORCED: HostConfig = {
  Privileged: false,
  CapDrop: ['ALL'],
  IpcMode: 'private',
  RestartPolicy: { Name: 'no' },
  OomScoreAdj: 500,
  Ulimits: [
    { Name: 'nofile', Soft: 16_384, Hard: 16_384 },
    { Name: 'core', Soft: 0, Hard: 0 },
  ],
  LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '2' } },
};

/**
 * CPU shares of an instance per CPU of its limit. The default of a container is 1,024, so under
 * contention proxies, Redis and other containers take precedence.
 */
const WEIGHT = 128;

/** Size of the tmpfs that replaces a volume of the image. Its content counts as memory. */
const VOLUME_SIZE = 64 * 1024 ** 2;

/** The options of the create call for the container of an instance. */
export function containerProfile(
  instance: Instance,
  placement: ContainerPlacement,
): ContainerCreateOptions {
  const { template } = instance;
  const { memory, cpus, pids } = template.limits;
  const fill = placeholders(instance);
  const mounts = { ...volumeMounts(placement.image, template), ...template.tmpfs };
  return {
    name: placement.name,
    Image: template.image,
    Labels: placement.labels,
    Env: environment(instance, fill),
    ...(template.entrypoint && { Entrypoint: template.entrypoint.map(fill) }),
    ...(template.command && { Cmd: template.command.map(fill) }),
    ...(template.workingDir !== undefined && { WorkingDir: template.workingDir }),
    ...(template.hostname !== undefined && { Hostname: template.hostname }),
    ...(template.user !== undefined && { User: template.user }),
    // The daemon would run the health check of the image outside the limits of the instance.
    Healthcheck: { Test: ['NONE'] },
    ...(placement.published && { ExposedPorts: exposedPorts(placement.published) }),
    HostConfig: {
      ...placement.isolation,
      ...ENFORCED,
      Init: template.init ?? true,
      CapAdd: [
        ...new Set([...PROFILE_CAPABILITIES[template.profile ?? 'strict'], ...template.capAdd]),
      ],
      Memory: memory,
      MemorySwap: memory,
      ...cpuTime(cpus, placement.cpuPeriod),
      CpuShares: Math.max(2, Math.round(cpus * WEIGHT)),
      PidsLimit: pids,
      ReadonlyRootfs: template.readOnly,
      Tmpfs: tmpfs(mounts, placement.image.owner),
      ...(placement.filesHelper && { Mounts: [placement.filesHelper] }),
      ...(template.shmSize !== undefined && { ShmSize: template.shmSize }),
      NetworkMode: placement.network,
      ...(placement.published && { PortBindings: portBindings(placement.published) }),
      Dns: template.egress ? [...placement.resolvers] : [NO_RESOLVER],
      DnsSearch: ['.'],
    },
    NetworkingConfig: {
      EndpointsConfig: {
        [placement.network]: { IPAMConfig: { IPv4Address: placement.address } },
      },
    },
  };
}

/** Limits of the kernel. All CPU times in the Docker API are in microseconds. */
const MIN_CPU_QUOTA = 1_000;
const MAX_CPU_PERIOD = 1_000_000;

/**
 * The CPU quota, as `--cpus` sets it, but with a shorter period than 100 ms. With 100 ms, an
 * instance with half a CPU and four busy processes can occupy two cores for 25 ms, which delays
 * other processes.
 */
function cpuTime(cpus: number, periodMs: number): Pick<HostConfig, 'CpuPeriod' | 'CpuQuota'> {
  const minPeriod = Math.ceil(MIN_CPU_QUOTA / cpus);
  const period = Math.min(Math.max(periodMs * 1_000, minPeriod), MAX_CPU_PERIOD);
  return { CpuPeriod: period, CpuQuota: Math.round(cpus * period) };
}

/** Only the template has placeholders: what an API client sends is passed on as it is. */
function environment(instance: Instance, fill: (text: string) => string): string[] {
  const own = {
    EPHEMERA_ID: '{id}',
    EPHEMERA_PORT: '{port}',
    EPHEMERA_BASE_PATH: '{basePath}',
    EPHEMERA_URL: '{url}',
  };
  const filled = (variables: Readonly<Record<string, string>>) =>
    Object.entries(variables).map(([name, value]) => [name, fill(value)] as const);
  const variables = new Map([
    ...filled(instance.template.env),
    ...Object.entries(instance.env),
    ...filled(own),
  ]);
  return Array.from(variables, ([name, value]) => `${name}=${value}`);
}

function placeholders(instance: Instance): (text: string) => string {
  const values = {
    id: instance.id,
    port: String(instance.template.port),
    basePath: basePathOf(instance),
    url: instance.url,
    token: instance.token ?? '',
  };
  return (text) => fillPlaceholders(text, values);
}

/**
 * Replaces the empty volumes of an image by tmpfs if the root file system is read-only. Docker would
 * otherwise create volumes on the host's disk, without a size limit. A volume with content needs
 * one, because only Docker can copy the content.
 */
function volumeMounts(
  { volumes }: Pick<ImageFacts, 'volumes'>,
  { readOnly, limits }: Template,
): Record<string, Tmpfs> {
  if (!readOnly) return {};
  const empty = Object.keys(volumes).filter((path) => volumes[path]?.hasContent !== true);
  const size = Math.min(VOLUME_SIZE, limits.memory);
  return Object.fromEntries(empty.map((path) => [path, { size, exec: false }]));
}

/**
 * Over a folder that the image has, runc keeps the mode of the folder and gives it to root. With
 * `uid` and `gid` it belongs to the process. `mode` counts for new folders only.
 */
function tmpfs(
  // Redis may still have a template of an earlier version, with a size in place of the options.
  mounts: Readonly<Record<string, Tmpfs | number>>,
  owner: ImageFacts['owner'],
): Record<string, string> {
  const ids = owner === undefined ? '' : `,uid=${owner.uid},gid=${owner.gid}`;
  return Object.fromEntries(
    Object.entries(mounts).map(([path, options]) => {
      const { size, exec } = typeof options === 'number' ? { size: options, exec: false } : options;
      return [path, `rw,${exec ? 'exec' : 'noexec'},nosuid,nodev,size=${size},mode=1777${ids}`];
    }),
  );
}

/** The part of `docker info` that templates depend on. */
interface DaemonInfo {
  readonly Runtimes?: Readonly<Record<string, unknown>>;
  readonly SecurityOptions?: readonly string[];
}

const NO_NEW_PRIVILEGES = 'no-new-privileges:true';

/**
 * The runtime, profiles and user namespace of a template. `docker info` is checked first, because a
 * daemon without AppArmor silently ignores a profile.
 * @throws ContainerStartError with every option that this host does not support
 */
export async function isolationOptions(docker: Docker, template: Template): Promise<HostConfig> {
  const { runtime, seccomp, apparmor, userns } = template;
  const isDefault = [runtime, seccomp, apparmor, userns].every((item) => item === undefined);
  if (isDefault) return { SecurityOpt: [NO_NEW_PRIVILEGES] };
  const info = (await withDeadline('info', DEFAULT_TIMEOUT_MS, docker.info())) as DaemonInfo;
  const has = (name: string) =>
    (info.SecurityOptions ?? []).some((text) => text.split(',')[0] === `name=${name}`);
  const profile = await readProfile(seccomp);
  const faults = [
    runtime !== undefined &&
      !Object.hasOwn(info.Runtimes ?? {}, runtime) &&
      noRuntime(runtime, info),
    seccomp !== undefined && !has('seccomp') && 'the daemon has no seccomp',
    seccomp !== undefined &&
      profile === undefined &&
      `${seccomp} is not a readable seccomp profile`,
    apparmor !== undefined && !has('apparmor') && 'the daemon has no AppArmor',
    userns === 'remapped' && !has('userns') && 'the daemon does not map users (userns-remap)',
  ].filter((fault) => fault !== false);
  if (faults.length > 0)
    throw new ContainerStartError(`This host refuses the template: ${faults.join('; ')}.`);
  return {
    ...(runtime !== undefined && { Runtime: runtime }),
    ...(userns === 'host' && { UsernsMode: 'host' }),
    SecurityOpt: [
      NO_NEW_PRIVILEGES,
      ...(profile === undefined ? [] : [`seccomp=${profile}`]),
      ...(apparmor === undefined ? [] : [`apparmor=${apparmor}`]),
    ],
  };
}

function noRuntime(runtime: string, { Runtimes = {} }: DaemonInfo): string {
  return `the daemon has no runtime "${runtime}"; available runtimes: ${Object.keys(Runtimes).join(', ')}`;
}

/** Reads a profile in the form of the Docker API. Undefined if it is not readable JSON. */
async function readProfile(seccomp: string | undefined): Promise<string | undefined> {
  if (seccomp === undefined || seccomp === 'unconfined') return seccomp;
  try {
    return JSON.stringify(JSON.parse(await readFile(seccomp, 'utf8')));
  } catch {
    return undefined;
  }
}
