import type { SeenContainer } from '@ephemera/domain';
import type { Containers } from '@ephemera/lifecycle';
import { limitConcurrency } from '../concurrency-limit.ts';
import { containerName } from './container-name.ts';
import { daemonClockSkew } from './daemon-clock.ts';
import { DEFAULT_TIMEOUT_MS, START_TIMEOUT_MS, ignoreStatus, withDeadline } from './deadline.ts';
import type { DockerHost } from './docker-host.ts';
import { LABEL, instanceOf, pooledOf } from './labels.ts';
import { addressOf, containerStarter } from './start-container.ts';

/** How many looks are under way at once. */
const INSPECT_CONCURRENCY = 32;
/** How long a look may take that everything else waits for, and all looks of a list, milliseconds. */
const INSPECT_TIMEOUT_MS = 3_000;
const LIST_TIMEOUT_MS = 9_000;

/** The containers of one Docker daemon, ours only: others are never so much as listed. */
export function dockerContainers(place: DockerHost): Containers {
  const { docker, namespace, host } = place;
  const inspectLimit = limitConcurrency(INSPECT_CONCURRENCY);
  /** How far the daemon's clock is ahead, as the last list found it: once for all of a scan. */
  let known: number | undefined;
  const measureSkew = async (): Promise<number> =>
    (known = await daemonClockSkew(docker, place.now));
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

  /** For those of which there may be many, and any may hang. Undefined where it is too late for one. */
  const inspectWithTimeout = async (containerId: string, end: number) => {
    const left = Math.min(INSPECT_TIMEOUT_MS, end - performance.now());
    if (left <= 0) return undefined;
    return withDeadline('inspect', left, docker.getContainer(containerId).inspect());
  };

  const remove = async (containerId: string): Promise<void> => {
    const call = docker.getContainer(containerId).remove({ force: true, v: true });
    // 409: a removal is under way already.
    await ignoreStatus([404, 409], withDeadline('remove', START_TIMEOUT_MS, call));
  };

  return {
    start: containerStarter(place, { inspect, remove }),

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
      const call = docker
        .getContainer(containerId)
        .logs({ stdout: true, stderr: true, tail: count, follow: false });
      const raw = await ignoreStatus([404, 409], withDeadline('logs', DEFAULT_TIMEOUT_MS, call));
      return raw ? demuxLog(raw) : '';
    },

    async pauseContainer(id) {
      for (const { Id } of await list(`${LABEL.instance}=${id}`)) {
        // 409: it is paused already, or it has ended, which is told of otherwise.
        const call = docker.getContainer(Id).pause();
        await ignoreStatus([404, 409], withDeadline('pause', DEFAULT_TIMEOUT_MS, call));
      }
    },

    async unpauseContainer(id) {
      for (const { Id, State } of await list(`${LABEL.instance}=${id}`)) {
        if (State !== 'paused') continue;
        // 500: another has just done it.
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
        await place.archiveLog?.(id, container);
        await remove(Id);
      }
    },

    remove,

    async list() {
      const [skewMs, found] = await Promise.all([measureSkew(), list()]);
      const end = performance.now() + LIST_TIMEOUT_MS;
      return Promise.all(
        found.map(async (containerInfo): Promise<SeenContainer> => {
          const { Id, Names, Labels, Created, State } = containerInfo;
          const running = isRunning(State);
          // Only an inspection tells how it ended; one that fails must not hold up the list.
          const look = () => inspectWithTimeout(Id, end).catch(() => undefined);
          const seen = running ? undefined : await inspectLimit(look);
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
      const startedAt = Date.parse(seen.State.StartedAt) - (known ?? (await measureSkew()));
      const container = { labels: seen.Config.Labels, name: seen.Name };
      return instanceOf(container, {
        address,
        startedAt: Math.round(startedAt),
        paused: seen.State.Paused,
        now: await place.now(),
      });
    },

    async labelClaimed(containerId, instance) {
      const call = docker.getContainer(containerId).rename({
        name: containerName(namespace, instance),
      });
      // 400: it bears that name already.
      await ignoreStatus([400, 404], withDeadline('rename', DEFAULT_TIMEOUT_MS, call));
    },
  };
}

function isRunning(state: string): boolean {
  return state === 'running' || state === 'paused' || state === 'restarting';
}

/** Takes the 8-byte frame heads out of the log of a container without a terminal. */
function demuxLog(raw: Buffer): string {
  const parts: string[] = [];
  let at = 0;
  while (at + 8 <= raw.length) {
    const length = raw.readUInt32BE(at + 4);
    parts.push(raw.toString('utf8', at + 8, at + 8 + length));
    at += 8 + length;
  }
  return parts.join('').trimEnd();
}
