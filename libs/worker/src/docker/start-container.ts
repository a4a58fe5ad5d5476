import type { Instance } from '@ephemera/domain';
import { ContainerStartError } from '@ephemera/lifecycle';
import type { Containers, StartedContainer, ReportProgress } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import { containerName } from './container-name.ts';
import { containerProfile } from './container-profile.ts';
import {
  DEFAULT_TIMEOUT_MS,
  START_TIMEOUT_MS,
  statusOf,
  ignoreStatus,
  withDeadline,
  daemonMessage,
} from './deadline.ts';
import type { DockerHost } from './docker-host.ts';
import { isolationOptions } from './isolation-options.ts';
import type { AddressRange, InstancesNetwork } from './instances-network.ts';
import type { PortReservation } from './instances-networks.ts';
import { LABEL, labelsOf } from './labels.ts';

/** How often an address that turns out to be in use, or a full bridge, is replaced by the next. */
const MAX_ADDRESS_ATTEMPTS = 20;

/** How one container is looked at, and taken away. */
interface Single {
  readonly inspect: (containerId: string) => Promise<Docker.ContainerInspectInfo | undefined>;
  readonly remove: (containerId: string) => Promise<void>;
}

/** Creates and starts the containers of instances on a host. */
export function containerStarter(
  place: DockerHost,
  { inspect, remove }: Single,
): Containers['start'] {
  const { docker, namespace, host, networks, resolvers, pulls, startLimit, cpuPeriod } = place;

  /** Undefined where the image is not on the host. */
  const volumesOf = async (image: string): Promise<string[] | undefined> => {
    const call = docker.getImage(image).inspect();
    const seen = await ignoreStatus([404], withDeadline('inspect', DEFAULT_TIMEOUT_MS, call));
    const declared = seen?.Config.Volumes as Record<string, object> | null | undefined;
    return seen && Object.keys(declared ?? {});
  };

  /** Gives the container's name or id; undefined where the image is not on the host. */
  const create = async (
    instance: Instance,
    network: InstancesNetwork,
    index: number,
  ): Promise<string | undefined> => {
    const { range, open } = network;
    const name = containerName(namespace, instance);
    const labels = labelsOf(namespace, host, instance);
    const address = addressIn(instance.template.egress ? open.range : range, index);
    const isolation = await isolationOptions(docker, instance.template);
    try {
      const volumes = await volumesOf(instance.template.image);
      if (!volumes) return undefined;
      const where = { name, network: network.name, address, resolvers };
      const spot = { ...where, labels, volumes, isolation, cpuPeriod };
      const profile = containerProfile(instance, spot);
      return (await withDeadline('create', START_TIMEOUT_MS, docker.createContainer(profile))).id;
    } catch (error) {
      if (statusOf(error) === 409) {
        return (await madeBefore(instance, name)) ?? create(instance, network, index);
      }
      if (isImageMissing(error)) return undefined;
      throw refusal(error);
    }
  };

  /**
   * The container that has the name already; one that is not of this instance is nobody's to start.
   * One that has run and ended is taken away: a second start would not find what the first had found,
   * such as the rights of its tmpfs.
   */
  const madeBefore = async (instance: Instance, name: string): Promise<string | undefined> => {
    const seen = await inspect(name);
    if (!seen) throw new Error(`the name ${name} is taken, and nobody has it`);
    if (seen.Config.Labels[LABEL.instance] !== instance.id) {
      throw new ContainerStartError(`The name ${name} is taken by a container of somebody else.`);
    }
    if (seen.State.Status !== 'exited') return seen.Id;
    await remove(seen.Id);
    return undefined;
  };

  /** Creates and starts it on one network; undefined where there is no place for it there. */
  const bringUp = async (
    instance: Instance,
    port: PortReservation,
    index: number,
    reportProgress: ReportProgress,
  ): Promise<StartedContainer | 'without image' | undefined> => {
    const made = await create(instance, port.network, index);
    if (made === undefined) return 'without image';
    const container = docker.getContainer(made);
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
    // It has ended and been taken away already, or it lost its network as it ended.
    if (!seen) return { containerId: container.id, address: '' };
    return { containerId: seen.Id, address: addressOf(seen) };
  };

  /** Brings it up on one network, once its image is there; who waits for an image is in no lane. */
  const tryOn = async (
    instance: Instance,
    port: PortReservation,
    nextAddressIndex: () => Promise<number>,
    reportProgress: ReportProgress,
  ): Promise<StartedContainer | 'unwanted' | undefined> => {
    const { image, ready } = instance.template;
    // Whoever waits in person goes before whoever is expected.
    const place = instance.pool === undefined ? undefined : 'last';
    const attempt = () =>
      startLimit(
        async () => bringUp(instance, port, await nextAddressIndex(), reportProgress),
        place,
      );
    const first = await attempt();
    if (first !== 'without image') return first;
    if (!(await pulls.pull(image, ready.within, reportProgress))) return 'unwanted';
    const second = await attempt();
    if (second !== 'without image') return second;
    throw new ContainerStartError(`The image ${image} is not on this host.`);
  };

  return async (instance, nextAddressIndex, reportProgress) => {
    for (let attempt = 1; attempt <= MAX_ADDRESS_ATTEMPTS; attempt++) {
      const port = await networks.reserve();
      try {
        const started = await tryOn(instance, port, nextAddressIndex, reportProgress);
        if (started === 'unwanted') return undefined;
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

const FINAL =
  /OCI runtime create failed|executable file not found|unable to find (user|group)|no space left/i;

/** A refusal that the next try would meet again, in the daemon's words; anything else as it is. */
function refusal(error: unknown): unknown {
  const words = daemonMessage(error);
  const final = statusOf(error) === 400 || FINAL.test(words);
  return final ? new ContainerStartError(`The container could not be started: ${words}`) : error;
}

function isImageMissing(error: unknown): boolean {
  return statusOf(error) === 404 && /no such image/i.test(daemonMessage(error));
}

function isAddressTaken(error: unknown): boolean {
  return /address already in use/i.test(daemonMessage(error));
}

/** The kernel's word where a bridge has 1,023 ports: EXFULL. */
function isBridgeFull(error: unknown): boolean {
  return /exchange full/i.test(daemonMessage(error));
}

/** A daemon that died in the midst of its start has forgotten what runs already: it never starts. */
function isHalfStarted(error: unknown): boolean {
  return /task \S+ already exists|failed to start shim: .*file exists/i.test(daemonMessage(error));
}

/** What a list and an inspection both tell of where a container is. */
interface Placed {
  readonly HostConfig: { readonly NetworkMode?: string | undefined };
  readonly NetworkSettings: {
    readonly Networks: Readonly<Record<string, { readonly IPAddress: string }>>;
  };
}

/** Where a container answers: on the network that it was created on; empty where it has ended. */
export function addressOf(seen: Placed): string {
  const network = seen.HostConfig.NetworkMode ?? '';
  return seen.NetworkSettings.Networks[network]?.IPAddress ?? '';
}

/** The address of a turn: the whole range is walked before one is given again. */
function addressIn({ first, count }: AddressRange, index: number): string {
  const address = first + (index % count);
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}
