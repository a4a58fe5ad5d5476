import { dueAt } from '@ephemera/domain';
import { jobId } from '@ephemera/queue';
import { type Invariant, containerId, differences, liveOf } from './snapshot.ts';

/** How long after its deadline a container may still exist while its kill runs, ms. */
const IN_FLIGHT_MS = 1_000;

export const noneOverdue: Invariant = {
  name: 'no container past its deadline',
  broken: ({ containers, instances, now }) =>
    containers.flatMap((container) => {
      const instance = instances.get(containerId(container));
      const due = instance ? dueAt(instance) : now;
      // The text must be the same in every snapshot: the oracle compares it.
      return now - due > IN_FLIGHT_MS ? [`${containerId(container)} was due at ${due}`] : [];
    }),
};

export const oneContainerAnId: Invariant = {
  name: 'one container per id',
  broken: ({ containers }) => {
    const ids = containers.map(containerId);
    return ids.filter((id, i) => ids.indexOf(id) !== i).map((id) => `${id} has two containers`);
  },
};

export const sameSets: Invariant = {
  name: 'live instances = containers = kill jobs, and their routes',
  broken: (snapshot) => {
    const all = liveOf(snapshot);
    const live = all.filter(({ queued }) => queued !== true);
    const instances = { name: 'live instance', ids: live.map(({ id }) => id) };
    const running = snapshot.containers.filter(({ State }) => State === 'running');
    const visited = all.filter(({ pool }) => pool === undefined).map(({ id }) => id);
    const open = [...snapshot.routes].filter(
      ([, { state }]) => state !== 'gone' && state !== 'failed',
    );
    return [
      ...differences(instances, { name: 'container', ids: snapshot.containers.map(containerId) }),
      ...differences(instances, { name: 'running container', ids: running.map(containerId) }),
      ...differences(
        { name: 'live instance', ids: live.map(jobId) },
        { name: 'kill job', ids: snapshot.killJobs.map(jobId) },
      ),
      ...differences(
        { name: 'live instance outside a pool', ids: visited },
        { name: 'live route', ids: open.map(([id]) => id) },
      ),
    ];
  },
};

export const settled: Invariant = {
  name: 'no unfinished operation',
  broken: (snapshot) => {
    const serving = new Set(['warm', 'ready', 'paused']);
    const open = liveOf(snapshot).filter(({ state }) => !serving.has(state));
    return [
      ...open.map(({ id, state, queued }) => `${id} is ${queued ? 'queued' : state}`),
      ...snapshot.spawnJobs.map(({ id }) => `${id} has an unfinished spawn job`),
      ...snapshot.failedJobs,
    ];
  },
};

export const noStrayNetworks: Invariant = {
  name: 'no network and no address without an owner',
  broken: ({ networks, containers, namespace }) => [
    ...networks.filter(({ Name }) => Name !== namespace).map(({ Name }) => `network ${Name}`),
    ...differences(
      { name: 'container', ids: containers.map(({ Id }) => Id) },
      {
        name: 'holder of an address',
        ids: networks.flatMap(({ Containers }) => Object.keys(Containers ?? {})),
      },
    ),
  ],
};
