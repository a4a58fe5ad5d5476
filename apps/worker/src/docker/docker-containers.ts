import type { Instance, SeenContainer } from '@ephemera/domain';
import { StartFault } from '@ephemera/lifecycle';
import type { Containers, StartedContainer } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import { containerName } from './container-name.ts';
import { containerProfile } from './container-profile.ts';
import { daemonAhead } from './daemon-clock.ts';
import { QUICK, statusOf, unlessStatus, withDeadline, wordsOf } from './deadline.ts';
import { isolationOptions } from './isolation-options.ts';
import { LABEL, instanceOf, labelsOf } from './labels.ts';
import type { ImagePulls } from './pull-image.ts';

export interface DockerHost {
  readonly docker: Docker;
  readonly namespace: string;
  /** The name of this daemon among the hosts. */
  readonly host: string;
  readonly network: string;
  /** The store's clock. */
  readonly now: () => Promise<number>;
  readonly pulls: ImagePulls;
  /** Keeps what a container last wrote; called when it has stopped, before it is removed. */
  readonly keepLog?: ((id: string, container: Docker.Container) => Promise<void>) | undefined;
}

/** How long a start may take before the daemon counts as hung, milliseconds. */
const START = 60_000;

/** How often an address that turns out to be in use is replaced by the next. */
const ADDRESS_TRIES = 20;

/** The containers of one Docker daemon, ours only: others are never so much as listed. */
export function dockerContainers(place: DockerHost): Containers {
  const { docker, namespace, host, network, pulls } = place;
  const labelled = (...more: string[]) => ({
    all: true,
    filters: {
      label: [`${LABEL.namespace}=${namespace}`, `${LABEL.host}=${host}`, ...more],
    },
  });
  const list = (...more: string[]) =>
    withDeadline('list', QUICK, docker.listContainers(labelled(...more)));

  const inspect = (containerId: string) =>
    unlessStatus([404], withDeadline('inspect', QUICK, docker.getContainer(containerId).inspect()));

  const remove = async (containerId: string): Promise<void> => {
    const call = docker.getContainer(containerId).remove({ force: true, v: true });
    // 409: a removal is under way already.
    await unlessStatus([404, 409], withDeadline('remove', START, call));
  };

  /** Undefined where the image is not on the host. */
  const volumesOf = async (image: string): Promise<string[] | undefined> => {
    const call = docker.getImage(image).inspect();
    const seen = await unlessStatus([404], withDeadline('inspect', QUICK, call));
    const declared = seen?.Config.Volumes as Record<string, object> | null | undefined;
    return seen && Object.keys(declared ?? {});
  };

  /** Gives the container's name or id; undefined where the image is not on the host. */
  const create = async (instance: Instance, address: string): Promise<string | undefined> => {
    const name = containerName(namespace, instance);
    const labels = labelsOf(namespace, host, instance);
    const isolation = await isolationOptions(docker, instance.template);
    try {
      const volumes = await volumesOf(instance.template.image);
      if (!volumes) return undefined;
      const place = { name, network, address, labels, volumes, isolation };
      const profile = containerProfile(instance, place);
      return (await withDeadline('create', START, docker.createContainer(profile))).id;
    } catch (error) {
      if (statusOf(error) === 409) return name;
      if (isImageMissing(error)) return undefined;
      throw refusal(error);
    }
  };

  return {
    async start(instance, nextAddress, tell): Promise<StartedContainer | undefined> {
      const { image, ready } = instance.template;
      for (let attempt = 1; ; attempt++) {
        let made = await create(instance, await nextAddress());
        if (made === undefined) {
          if (!(await pulls.pull(image, ready.within, tell))) return undefined;
          made = await create(instance, await nextAddress());
        }
        if (made === undefined) throw new StartFault(`The image ${image} is not on this host.`);
        const container = docker.getContainer(made);
        await tell({ step: 'starting', message: 'Starting the container.' });
        try {
          await unlessStatus([304], withDeadline('start', START, container.start()));
        } catch (error) {
          if (!isAddressTaken(error)) throw refusal(error);
          await remove(container.id);
          if (attempt < ADDRESS_TRIES) continue;
          throw new StartFault(`No free address was found in ${attempt} tries.`);
        }
        const seen = await inspect(container.id);
        const address = seen?.NetworkSettings.Networks[network]?.IPAddress;
        // It has ended and been taken away already, or it lost its network as it ended.
        if (!seen || !address) return { containerId: container.id, address: '' };
        return { containerId: seen.Id, address };
      }
    },

    async inspect(containerId) {
      const seen = await inspect(containerId);
      if (!seen) return undefined;
      const { Running, ExitCode, OOMKilled } = seen.State;
      return { running: Running, exitCode: ExitCode, oomKilled: OOMKilled };
    },

    async lastLines(containerId, count) {
      const call = docker
        .getContainer(containerId)
        .logs({ stdout: true, stderr: true, tail: count, follow: false });
      const raw = await unlessStatus([404, 409], withDeadline('logs', QUICK, call));
      return raw ? unframe(raw) : '';
    },

    async pause(id) {
      for (const { Id } of await list(`${LABEL.instance}=${id}`)) {
        // 409: it is paused already, or it has ended, which is told of otherwise.
        const call = docker.getContainer(Id).pause();
        await unlessStatus([404, 409], withDeadline('pause', QUICK, call));
      }
    },

    async unpause(id) {
      for (const { Id, State } of await list(`${LABEL.instance}=${id}`)) {
        if (State !== 'paused') continue;
        // 500: another has just done it.
        const call = docker.getContainer(Id).unpause();
        await unlessStatus([404, 409, 500], withDeadline('unpause', QUICK, call));
      }
    },

    async removeInstance(id, stopGrace) {
      const found = await list(`${LABEL.instance}=${id}`);
      for (const { Id, State } of found) {
        const container = docker.getContainer(Id);
        if (State === 'running' && stopGrace > 0) {
          const seconds = Math.ceil(stopGrace / 1000);
          const call = container.stop({ t: seconds });
          await unlessStatus([304, 404], withDeadline('stop', stopGrace + QUICK, call));
        }
        await place.keepLog?.(id, container);
        await remove(Id);
      }
    },

    remove,

    async list() {
      const [ahead, found] = await Promise.all([daemonAhead(docker, place.now), list()]);
      return Promise.all(
        found.map(async ({ Id, Labels, Created, State }): Promise<SeenContainer> => {
          const running = State === 'running' || State === 'paused' || State === 'restarting';
          // Only an inspection tells how it ended; one that fails must not hold up the list.
          const seen = running ? undefined : await inspect(Id).catch(() => undefined);
          const ended = seen?.State;
          return {
            containerId: Id,
            id: Labels[LABEL.instance] ?? '',
            generation: Number(Labels[LABEL.generation]),
            createdAt: Created * 1000 - ahead,
            expiresAt: Date.parse(Labels[LABEL.expiresAt] ?? ''),
            running,
            oomKilled: ended?.OOMKilled ?? false,
            exitCode: ended?.ExitCode,
          };
        }),
      );
    },

    async recall(containerId) {
      const seen = await inspect(containerId);
      const address = seen?.NetworkSettings.Networks[network]?.IPAddress;
      if (!seen || !address) return undefined;
      // It comes back as a ready one.
      if (seen.State.Paused) {
        await withDeadline('unpause', QUICK, docker.getContainer(containerId).unpause());
      }
      const startedAt = Date.parse(seen.State.StartedAt) - (await daemonAhead(docker, place.now));
      return instanceOf(seen.Config.Labels, address, Math.round(startedAt));
    },
  };
}

const FINAL = /OCI runtime create failed|executable file not found|unable to find (user|group)/i;

/** A refusal that the next try would meet again, in the daemon's words; anything else as it is. */
function refusal(error: unknown): unknown {
  const words = wordsOf(error);
  const final = statusOf(error) === 400 || FINAL.test(words);
  return final ? new StartFault(`The container could not be started: ${words}`) : error;
}

function isImageMissing(error: unknown): boolean {
  return statusOf(error) === 404 && /no such image/i.test(wordsOf(error));
}

function isAddressTaken(error: unknown): boolean {
  return /address already in use/i.test(wordsOf(error));
}

/** Takes the 8-byte frame heads out of the log of a container without a terminal. */
function unframe(raw: Buffer): string {
  const parts: string[] = [];
  let at = 0;
  while (at + 8 <= raw.length) {
    const length = raw.readUInt32BE(at + 4);
    parts.push(raw.toString('utf8', at + 8, at + 8 + length));
    at += 8 + length;
  }
  return parts.join('').trimEnd();
}
