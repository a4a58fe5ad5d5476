import type { Instance, Template } from '@ephemera/domain';
import { containerName, ContainerStartError, execPermissionOf } from '@ephemera/lifecycle';
import type { Containers, StartedContainer, ReportProgress } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import type { ContainerCreateOptions } from 'dockerode';
import { START_TIMEOUT_MS } from '../limits.ts';
import { LABEL, labelsOf } from './labels.ts';
import { containerProfile, isolationOptions } from './container-profile.ts';
import { statusOf, ignoreStatus, withDeadline, daemonMessage } from './docker-client.ts';
import type { DockerHost } from './docker-host.ts';
import { filesHelper } from './files-helper.ts';
import type { AddressRange, InstancesNetwork } from './instances-network.ts';
import type { PortReservation } from './instances-networks.ts';
import { choosePorts, readPublishedPorts } from './published-ports.ts';
import { imageReader } from './read-image.ts';

/** Maximum number of attempts when an address is in use or a bridge is full. */
const MAX_ADDRESS_ATTEMPTS = 20;

/** Calls on a single container. */
interface ContainerCalls {
  readonly inspect: (containerId: string) => Promise<Docker.ContainerInspectInfo | undefined>;
  readonly remove: (containerId: string) => Promise<void>;
}

/** What a start creates: one image, even if it needs several attempts. */
interface Start {
  readonly instance: Instance;
  /** Name of the image; with its digest where the creation has named it and a registry has it. */
  readonly imageName: string;
}

/** Creates and starts the containers of instances on a host. */
export function containerStarter(
  dockerHost: DockerHost,
  { inspect, remove }: ContainerCalls,
): Containers['start'] {
  const { docker, namespace, host, networks, resolvers, pulls, startLimit, cpuPeriod } = dockerHost;

  const images = imageReader(docker, namespace);
  const files = filesHelper(docker, namespace, dockerHost.onNoFilesHelper ?? (() => undefined));

  /** Creates the container and returns its id. Undefined if the host does not have the image. */
  const create = async (
    start: Start,
    network: InstancesNetwork,
    nextAddressIndex: () => Promise<number>,
  ): Promise<string | undefined> => {
    const { instance, imageName } = start;
    const index = await nextAddressIndex();
    const { range, open } = network;
    const name = containerName(namespace, instance);
    const address = addressIn(instance.template.egress ? open.range : range, index);
    const isolation = await isolationOptions(docker, instance.template);
    const image = await images.read(imageName, instance.template.user);
    if (!image) return undefined;
    const published = await choosePorts(
      dockerHost.reach,
      instance.template,
      index,
      nextAddressIndex,
    );
    const labels = labelsOf(namespace, host, instance, image.id);
    try {
      const networking = { name, network: network.name, address, published, resolvers };
      const allowsFiles = execPermissionOf(instance.template) !== 'off';
      const helper = allowsFiles ? await files.mountFor(image.id) : undefined;
      const placement = { ...networking, labels, image, isolation, cpuPeriod, filesHelper: helper };
      const profile = { ...containerProfile(instance, placement), Image: imageName };
      const call = createContainer(docker, profile);
      return (await withDeadline('create', START_TIMEOUT_MS, call)).id;
    } catch (error) {
      if (statusOf(error) === 409) {
        return (
          (await existingContainer(instance, name)) ?? create(start, network, nextAddressIndex)
        );
      }
      if (isImageMissing(error)) return undefined;
      throw refusal(error);
    }
  };

  /**
   * The id of the container that already has the name. A foreign container is an error. An exited
   * container is removed: a second start would find a changed file system, such as the permissions
   * of its tmpfs.
   */
  const existingContainer = async (
    instance: Instance,
    name: string,
  ): Promise<string | undefined> => {
    const seen = await inspect(name);
    if (!seen) throw new Error(`the name ${name} is reported as taken, but no container has it`);
    if (seen.Config.Labels[LABEL.instance] !== instance.id) {
      throw new ContainerStartError(`The name ${name} is taken by a foreign container.`);
    }
    if (seen.State.Status !== 'exited') return seen.Id;
    await remove(seen.Id);
    return undefined;
  };

  /**
   * Creates and starts the container on one network. Undefined if the network has no free address
   * or port.
   */
  const createAndStart = async (
    start: Start,
    port: PortReservation,
    nextAddressIndex: () => Promise<number>,
    reportProgress: ReportProgress,
  ): Promise<StartedContainer | 'without image' | undefined> => {
    const createdId = await create(start, port.network, nextAddressIndex);
    if (createdId === undefined) return 'without image';
    const container = docker.getContainer(createdId);
    await reportProgress({ step: 'starting', message: 'Starting the container.' });
    try {
      await ignoreStatus([304], withDeadline('start', START_TIMEOUT_MS, container.start()));
    } catch (error) {
      const isFull = isBridgeFull(error);
      if (!isFull && !isAddressTaken(error) && !isHalfStarted(error)) throw refusal(error);
      if (isFull) port.reject();
      await remove(container.id);
      return undefined;
    }
    const seen = await inspect(container.id);
    // It may have exited already: then it was removed, or it has lost its network.
    if (!seen) return { containerId: container.id, address: '' };
    return { containerId: seen.Id, address: addressOf(seen), published: readPublishedPorts(seen) };
  };

  /**
   * Starts the container on one network, after a pull if necessary. A pull does not occupy the
   * start limit.
   */
  const startOn = async (
    start: Start,
    port: PortReservation,
    nextAddressIndex: () => Promise<number>,
    reportProgress: ReportProgress,
  ): Promise<StartedContainer | 'superseded' | undefined> => {
    const { instance, imageName } = start;
    // Starts that a client waits for run before pool starts.
    const priority = instance.pool === undefined ? undefined : 'last';
    const attempt = () =>
      startLimit(() => createAndStart(start, port, nextAddressIndex, reportProgress), priority);
    const first = await attempt();
    if (first !== 'without image') return first;
    if (!(await pulls.pull(imageName, instance.template.ready.within, reportProgress)))
      return 'superseded';
    const second = await attempt();
    if (second !== 'without image') return second;
    throw new ContainerStartError(`The image ${imageName} is not on this host.`);
  };

  /** Undefined if the instance was superseded. */
  const imageNameFor = async (
    { image, isImageNamed }: Template,
    reportProgress: ReportProgress,
  ): Promise<string | undefined> => {
    if (isImageNamed !== true) return image;
    const message = `Asking the registry for the digest of ${image}.`;
    return (await reportProgress({ step: 'pulling', message })) ? pulls.resolve(image) : undefined;
  };

  return async (instance, nextAddressIndex, reportProgress) => {
    const imageName = await imageNameFor(instance.template, reportProgress);
    if (imageName === undefined) return undefined;
    for (let attempt = 1; attempt <= MAX_ADDRESS_ATTEMPTS; attempt++) {
      const port = await networks.reserve();
      try {
        const started = await startOn(
          { instance, imageName },
          port,
          nextAddressIndex,
          reportProgress,
        );
        if (started === 'superseded') return undefined;
        if (!started) continue;
        port.commit();
        return started;
      } finally {
        port.release();
      }
    }
    throw new ContainerStartError(`No free address was found in ${MAX_ADDRESS_ATTEMPTS} tries.`);
  };
}

/**
 * Sends the name in the query and all else in the body. dockerode sends every option in both: a long
 * environment exceeds the limit of a proxy in front of the daemon, and its log shows the secrets.
 */
function createContainer(docker: Docker, { name, ...body }: ContainerCreateOptions) {
  const options = { _query: { name }, _body: body } as ContainerCreateOptions;
  return docker.createContainer(options);
}

/** An invalid option, or a proxy in front of the daemon that forbids the call. */
const FINAL_STATUSES: ReadonlySet<number> = new Set([400, 401, 403, 405, 501]);

const FINAL =
  /OCI runtime create failed|executable file not found|unable to find (user|group)|no space left/i;

/**
 * Converts an error that a retry cannot fix to a ContainerStartError. Returns other errors
 * unchanged.
 */
function refusal(error: unknown): unknown {
  const words = daemonMessage(error);
  const final = FINAL_STATUSES.has(statusOf(error) ?? 0) || FINAL.test(words);
  return final ? new ContainerStartError(`The container could not be started: ${words}`) : error;
}

function isImageMissing(error: unknown): boolean {
  return statusOf(error) === 404 && /no such image/i.test(daemonMessage(error));
}

/** An address of the network, or a port of the host. */
function isAddressTaken(error: unknown): boolean {
  return /address already in use|port is already allocated/i.test(daemonMessage(error));
}

/** EXFULL: the bridge has 1,023 ports, the maximum of the kernel. */
function isBridgeFull(error: unknown): boolean {
  return /exchange full/i.test(daemonMessage(error));
}

/** The daemon died during an earlier start of this container. It can never be started. */
function isHalfStarted(error: unknown): boolean {
  return /task \S+ already exists|failed to start shim: .*file exists/i.test(daemonMessage(error));
}

/** The network fields that a list entry and an inspection have in common. */
interface NetworkedContainer {
  readonly HostConfig: { readonly NetworkMode?: string | undefined };
  readonly NetworkSettings: {
    readonly Networks: Readonly<Record<string, { readonly IPAddress: string }>>;
  };
}

/** Address of a container on the network that it was created on. Empty if it has exited. */
export function addressOf(seen: NetworkedContainer): string {
  const network = seen.HostConfig.NetworkMode ?? '';
  return seen.NetworkSettings.Networks[network]?.IPAddress ?? '';
}

/** Address for an index. The whole range is used before an address repeats. */
function addressIn({ first, count }: AddressRange, index: number): string {
  const address = first + (index % count);
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}
