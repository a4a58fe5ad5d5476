import type { SeenContainer } from '@ephemera/domain';
import type { Containers } from '@ephemera/lifecycle';
import { inLanes } from '../in-lanes.ts';
import { containerName } from './container-name.ts';
import { daemonAhead } from './daemon-clock.ts';
import { QUICK, START, unlessStatus, withDeadline } from './deadline.ts';
import type { DockerHost } from './docker-host.ts';
import { LABEL, instanceOf, pooledOf } from './labels.ts';
import { addressOf, containerStarter } from './start-container.ts';

/** How many looks are under way at once. */
const GLANCES = 32;
/** How long a look may take that everything else waits for, and all looks of a list, milliseconds. */
const GLANCE = 3_000;
const ALL_GLANCES = 9_000;

/** The containers of one Docker daemon, ours only: others are never so much as listed. */
export function dockerContainers(place: DockerHost): Containers {
  const { docker, namespace, host } = place;
  const inLane = inLanes(GLANCES);
  /** How far the daemon's clock is ahead, as the last list found it: once for all of a scan. */
  let known: number | undefined;
  const askAhead = async (): Promise<number> => (known = await daemonAhead(docker, place.now));
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

  /** For those of which there may be many, and any may hang. Undefined where it is too late for one. */
  const glance = async (containerId: string, end: number) => {
    const left = Math.min(GLANCE, end - performance.now());
    if (left <= 0) return undefined;
    return withDeadline('inspect', left, docker.getContainer(containerId).inspect());
  };

  const remove = async (containerId: string): Promise<void> => {
    const call = docker.getContainer(containerId).remove({ force: true, v: true });
    // 409: a removal is under way already.
    await unlessStatus([404, 409], withDeadline('remove', START, call));
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
      return found.filter(({ State }) => runs(State)).map(({ Id }) => Id);
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
      const [ahead, found] = await Promise.all([askAhead(), list()]);
      const end = performance.now() + ALL_GLANCES;
      return Promise.all(
        found.map(async (each): Promise<SeenContainer> => {
          const { Id, Names, Labels, Created, State } = each;
          const running = runs(State);
          // Only an inspection tells how it ended; one that fails must not hold up the list.
          const look = () => glance(Id, end).catch(() => undefined);
          const seen = running ? undefined : await inLane(look);
          const ended = seen?.State;
          return {
            containerId: Id,
            id: Labels[LABEL.instance] ?? '',
            generation: Number(Labels[LABEL.generation]),
            createdAt: Created * 1000 - ahead,
            expiresAt: Date.parse(Labels[LABEL.expiresAt] ?? ''),
            running,
            address: addressOf(each),
            frozen: State === 'paused',
            pooled: pooledOf({ labels: Labels, name: Names[0] ?? '' }),
            oomKilled: ended?.OOMKilled ?? false,
            exitCode: ended?.ExitCode,
          };
        }),
      );
    },

    async recall(containerId) {
      const seen = await inspect(containerId);
      const address = seen && addressOf(seen);
      if (!seen || !address) return undefined;
      const startedAt = Date.parse(seen.State.StartedAt) - (known ?? (await askAhead()));
      const told = { labels: seen.Config.Labels, name: seen.Name };
      return instanceOf(told, {
        address,
        startedAt: Math.round(startedAt),
        paused: seen.State.Paused,
        now: await place.now(),
      });
    },

    async mark(containerId, instance) {
      const call = docker.getContainer(containerId).rename({
        name: containerName(namespace, instance),
      });
      // 400: it bears that name already.
      await unlessStatus([400, 404], withDeadline('rename', QUICK, call));
    },
  };
}

function runs(state: string): boolean {
  return state === 'running' || state === 'paused' || state === 'restarting';
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
