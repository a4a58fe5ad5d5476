import { setTimeout as sleep } from 'node:timers/promises';
import type { SeenContainer } from '@ephemera/domain';
import { containerName } from '@ephemera/lifecycle';
import type { Containers } from '@ephemera/lifecycle';
import { limitConcurrency } from '../concurrency-limit.ts';
import {
  DEFAULT_TIMEOUT_MS,
  INSPECT_CONCURRENCY,
  INSPECT_TIMEOUT_MS,
  LIST_TIMEOUT_MS,
  START_TIMEOUT_MS,
} from '../limits.ts';
import { imageOf, LABEL, instanceOf, pooledOf } from './labels.ts';
import { daemonClockSkew } from './daemon-info.ts';
import { ignoreStatus, statusOf, withDeadline } from './docker-client.ts';
import type { DockerHost } from './docker-host.ts';
import { readLines } from './container-log.ts';
import { readPublishedPorts } from './published-ports.ts';
import { addressOf, containerStarter } from './start-container.ts';

/** Interval between checks of a removal that another call has started, ms. */
const REMOVAL_POLL_MS = 100;

/** The containers of one Docker daemon that belong to this deployment. Others are not listed. */
export function dockerContainers(dockerHost: DockerHost): Containers {
  const { docker, namespace, host } = dockerHost;
  const inspectLimit = limitConcurrency(INSPECT_CONCURRENCY);
  /** Skew of the daemon's clock, measured by the last list and reused within a scan. */
  let knownSkewMs: number | undefined;
  const measureSkew = async (): Promise<number> =>
    (knownSkewMs = await daemonClockSkew(docker, dockerHost.now));
  const labelled = (...more: string[]) => ({
    all: true,
    filters: {
      label: [`${LABEL.namespace}=${namespace}`, `${LABEL.host}=${host}`, ...more],
    },
  });
  const list = (...more: string[]) =>
    withDeadline('list', DEFAULT_TIMEOUT_MS, docker.listContainers(labelled(...more)));

  const inspect = (containerId: string) =>
    ignoreStatus(
      [404],
      withDeadline('inspect', DEFAULT_TIMEOUT_MS, docker.getContainer(containerId).inspect()),
    );

  /** For many containers, any of which may hang. Undefined if `end` has passed. */
  const inspectWithTimeout = async (containerId: string, end: number) => {
    const left = Math.min(INSPECT_TIMEOUT_MS, end - performance.now());
    if (left <= 0) return undefined;
    return withDeadline('inspect', left, docker.getContainer(containerId).inspect());
  };

  /** The ids that names of images mean now. Undefined: the host has none, or does not answer. */
  const imageIdsOf = async (names: Iterable<string>): Promise<Map<string, string | undefined>> => {
    const ids = Array.from(new Set(names), async (name) => {
      const call = withDeadline('inspect', INSPECT_TIMEOUT_MS, docker.getImage(name).inspect());
      return [name, (await call.catch(() => undefined))?.Id] as const;
    });
    return new Map(await Promise.all(ids));
  };

  const remove = async (containerId: string): Promise<void> => {
    const call = docker.getContainer(containerId).remove({ force: true, v: true });
    try {
      await ignoreStatus([404], withDeadline('remove', START_TIMEOUT_MS, call));
    } catch (error) {
      if (statusOf(error) !== 409) throw error;
      // Another removal is in progress. Return when it is done, so that no end is reported before.
      const end = performance.now() + START_TIMEOUT_MS;
      while (await inspect(containerId)) {
        if (performance.now() > end) throw error;
        await sleep(REMOVAL_POLL_MS);
      }
    }
  };

  return {
    start: containerStarter(dockerHost, { inspect, remove }),

    async inspect(containerId) {
      const seen = await inspect(containerId);
      if (!seen) return undefined;
      const { Running, ExitCode, OOMKilled } = seen.State;
      return { running: Running, exitCode: ExitCode, oomKilled: OOMKilled };
    },

    async running(id) {
      const found = await list(`${LABEL.instance}=${id}`);
      return found.filter(({ State }) => isRunning(State)).map(({ Id }) => Id);
    },

    async lastLines(containerId, count) {
      const lines = await readLines(docker.getContainer(containerId), { tail: count });
      return (lines ?? [])
        .map(({ text }) => text)
        .join('')
        .trimEnd();
    },

    async pauseContainer(id) {
      for (const { Id } of await list(`${LABEL.instance}=${id}`)) {
        // 409: it is already paused, or it has exited, which `watchExits` reports.
        const call = docker.getContainer(Id).pause();
        await ignoreStatus([404, 409], withDeadline('pause', DEFAULT_TIMEOUT_MS, call));
      }
    },

    async unpauseContainer(id) {
      for (const { Id, State } of await list(`${LABEL.instance}=${id}`)) {
        if (State !== 'paused') continue;
        // 500: another call has just unpaused it.
        const call = docker.getContainer(Id).unpause();
        await ignoreStatus([404, 409, 500], withDeadline('unpause', DEFAULT_TIMEOUT_MS, call));
      }
    },

    async removeInstance(id, stopGrace) {
      const found = await list(`${LABEL.instance}=${id}`);
      for (const { Id, State } of found) {
        const container = docker.getContainer(Id);
        if (State === 'running' && stopGrace > 0) {
          const seconds = Math.ceil(stopGrace / 1000);
          const call = container.stop({ t: seconds });
          await ignoreStatus(
            [304, 404],
            withDeadline('stop', stopGrace + DEFAULT_TIMEOUT_MS, call),
          );
        }
        await dockerHost.archiveLog?.(id, container);
        await remove(Id);
      }
    },

    remove,

    async list() {
      const [skewMs, found] = await Promise.all([measureSkew(), list()]);
      const end = performance.now() + LIST_TIMEOUT_MS;
      // Only unclaimed instances are replaced. A few images serve all of them.
      const images = new Map(
        found.flatMap(({ Id, Names, Labels }) => {
          const isUnclaimed = pooledOf({ labels: Labels, name: Names[0] ?? '' }) === 'unclaimed';
          const image = isUnclaimed ? imageOf(Labels) : undefined;
          return image ? [[Id, image] as const] : [];
        }),
      );
      const ids = await imageIdsOf(Array.from(images.values(), ({ name }) => name));
      const isOutdated = (containerId: string): boolean => {
        const image = images.get(containerId);
        const now = image && ids.get(image.name);
        return now !== undefined && now !== image?.id;
      };
      return Promise.all(
        found.map(async (containerInfo): Promise<SeenContainer> => {
          const { Id, Names, Labels, Created, State } = containerInfo;
          const running = isRunning(State);
          // Only an inspection returns the exit code. If it fails, the list must not fail.
          const inspection = () => inspectWithTimeout(Id, end).catch(() => undefined);
          const seen = running ? undefined : await inspectLimit(inspection);
          const ended = seen?.State;
          return {
            containerId: Id,
            id: Labels[LABEL.instance] ?? '',
            generation: Number(Labels[LABEL.generation]),
            createdAt: Created * 1000 - skewMs,
            expiresAt: Date.parse(Labels[LABEL.expiresAt] ?? ''),
            running,
            address: addressOf(containerInfo),
            paused: State === 'paused',
            pooled: pooledOf({ labels: Labels, name: Names[0] ?? '' }),
            isOutdated: isOutdated(Id),
            oomKilled: ended?.OOMKilled ?? false,
            exitCode: ended?.ExitCode,
          };
        }),
      );
    },

    async recoverInstance(containerId) {
      const seen = await inspect(containerId);
      const address = seen && addressOf(seen);
      if (!seen || !address) return undefined;
      const startedAt = Date.parse(seen.State.StartedAt) - (knownSkewMs ?? (await measureSkew()));
      const container = { labels: seen.Config.Labels, name: seen.Name };
      return instanceOf(container, {
        address,
        published: readPublishedPorts(seen),
        startedAt: Math.round(startedAt),
        paused: seen.State.Paused,
        now: await dockerHost.now(),
      });
    },

    async labelClaimed(containerId, instance) {
      const call = docker.getContainer(containerId).rename({
        name: containerName(namespace, instance),
      });
      // 400: it already has this name.
      await ignoreStatus([400, 404], withDeadline('rename', DEFAULT_TIMEOUT_MS, call));
    },
  };
}

function isRunning(state: string): boolean {
  return state === 'running' || state === 'paused' || state === 'restarting';
}
