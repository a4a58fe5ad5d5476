import { isDead, isServing } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import {
  manualClock,
  memoryContainers,
  memoryInstances,
  memoryKillJobs,
} from '@ephemera/test-support';
import type { Containers, KillJobs } from '../../src/ports.ts';

export const HOSTS = ['a', 'b'] as const;
export type Host = (typeof HOSTS)[number];

interface Exit {
  readonly id: string;
  readonly containerId: string;
}

/** Reasons of ends before the deadline: a request of a client, or an exit of the container. */
const EARLY = ['request', 'exited', 'oom', 'start_failed', 'early_exit'];

/**
 * Two hosts, one store and its queues in memory, and the deadlines that clients were promised.
 * Every change is checked immediately. `faults` holds the violated rules.
 */
export function openWorld() {
  const clock = manualClock();
  const { now } = clock;
  const store = memoryInstances({ now });
  const killJobs = memoryKillJobs(now);
  const daemons = { a: memoryContainers({ now }), b: memoryContainers({ now }) };
  const faults: string[] = [];
  /** The latest deadline that a client has received, by id. */
  const promised = new Map<string, number>();
  const everScheduled = new Set<string>();
  /** Exits that have not been reported to the worker yet. */
  const exits = { a: [] as Exit[], b: [] as Exit[] };
  const claimed = new Set<string>();
  /** Whether the store has lost data. Earlier writes may then be missing. */
  let hasLost = false;

  const containersOf = (id: string) =>
    HOSTS.flatMap((host) =>
      [...daemons[host].containers.values()]
        .filter((container) => container.id === id)
        .map((container) => ({ ...container, host })),
    );

  /** Checks the removal of a container before it happens. */
  const checkRemoval = async (host: Host, id: string): Promise<void> => {
    const mine = [...daemons[host].containers.values()].filter((container) => container.id === id);
    const instance = await store.get(id);
    if (!mine.some(({ running }) => running)) return;
    // A loss of data may revert a kill in progress.
    if (!hasLost && instance && isServing(instance.state) && instance.host === host) {
      faults.push(`a container was removed under an instance that is ${instance.state}`);
    }
    const left = (promised.get(id) ?? 0) - now();
    const early = instance?.reason !== undefined && EARLY.includes(instance.reason);
    if (left > 0 && !early && instance?.host === host) {
      faults.push(`a container was killed ${left} ms before its deadline`);
    }
  };

  /** Records the exits that `action` causes on a host. */
  const recordExits = async (host: Host, action: () => Promise<void> | void): Promise<void> => {
    const running = () =>
      [...daemons[host].containers.values()].filter((container) => container.running);
    const before = running();
    await action();
    const left = new Set(running().map(({ containerId }) => containerId));
    exits[host].push(...before.filter(({ containerId }) => !left.has(containerId)));
  };

  // The exit of one container must not end an instance that another container serves.
  const { startDraining } = store;
  store.startDraining = async (id, reason, message, hint) => {
    const instance = await store.get(id);
    const serves =
      instance && isServing(instance.state) && ['exited', 'oom', 'early_exit'].includes(reason);
    const mine = containersOf(id).some(
      ({ host, running, address }) =>
        host === instance?.host && running && address === instance.address,
    );
    if (serves && mine) faults.push('an instance was ended for the exit of another container');
    return startDraining(id, reason, message, hint);
  };

  const containers = (host: Host): Containers => ({
    ...daemons[host],
    async start(instance, next, reportProgress) {
      const known = await store.get(instance.id);
      if (!hasLost && (known?.host !== host || !everScheduled.has(instance.id))) {
        faults.push('a container was started without an assignment or a kill job');
      }
      return daemons[host].start(instance, next, reportProgress);
    },
    async removeInstance(id, grace) {
      await checkRemoval(host, id);
      await recordExits(host, () => daemons[host].removeInstance(id, grace));
    },
    async remove(containerId) {
      const found = [...daemons[host].containers.values()].find(
        (container) => container.containerId === containerId,
      );
      if (found) await checkRemoval(host, found.id);
      await recordExits(host, () => daemons[host].remove(containerId));
    },
  });

  const keeping: KillJobs = {
    ...killJobs,
    async schedule(instance, delay) {
      everScheduled.add(instance.id);
      await killJobs.schedule(instance, delay);
    },
  };

  return {
    clock,
    store,
    killJobs: { ...killJobs, ...keeping },
    daemons,
    exits,
    exit: (host: Host, id: string) =>
      recordExits(host, () => daemons[host].exit(id, { exitCode: 1 })),
    containers,
    containersOf,
    faults,
    promised,
    claimed,
    get hasLost() {
      return hasLost;
    },
    /** Saves store and queues. The returned function restores them and drops later promises. */
    save(): () => void {
      const back = [store.save(), killJobs.save()];
      const before = [...promised];
      return () => {
        hasLost = true;
        for (const item of back) item();
        promised.clear();
        for (const [id, deadline] of before) promised.set(id, deadline);
      };
    },
    /** Rules that must hold after all actors and repairs have finished. */
    async checkRest(ids: readonly string[]): Promise<void> {
      for (const id of ids) check(id, await store.get(id));
    },
    /**
     * A rule that must hold without a repair: a client of a paused container would wait for
     * reconciliation.
     */
    async checkPaused(ids: readonly string[]): Promise<void> {
      for (const id of ids) {
        const { state, host } = (await store.get(id)) ?? {};
        const isPaused = containersOf(id).some((item) => item.host === host && item.paused);
        if (state === 'ready' && isPaused)
          faults.push('the container of a ready instance is paused');
      }
    },
    /** Rules that must hold after every deadline. */
    async checkEnd(ids: readonly string[]): Promise<void> {
      for (const id of ids) {
        const instance = await store.get(id);
        if (instance && !isDead(instance.state))
          faults.push(`an instance stays ${instance.state} for ever`);
        if (containersOf(id).length > 0) faults.push('a container is left for ever');
      }
      if (killJobs.scheduled().length > 0) faults.push('a kill job is left for ever');
    },
  };

  function check(id: string, instance: Instance | undefined): void {
    const there = containersOf(id);
    if (there.length > 1) faults.push(`${there.length} containers have one id`);
    if (!instance || isDead(instance.state)) {
      if (there.length > 0) faults.push('a container has no instance');
      // A proxy that stalls between a claim and the schedule call may schedule a kill job for a
      // dead instance.
      const left = killJobs.scheduled().some((job) => job.id === id) && !claimed.has(id);
      if (left && !hasLost) faults.push('a kill job has no instance');
      if (!instance) return;
    }
    const mine = there.find(({ host, running }) => host === instance.host && running);
    const { state, reason = '' } = instance;
    if (isServing(state)) {
      if (!mine) faults.push(`an instance is ${state} without a container`);
      if (mine?.paused && state !== 'paused')
        faults.push(`the container of a ${state} instance is paused`);
      const job = killJobs.scheduled().find((job) => job.id === id && job.host === instance.host);
      if (!job) faults.push('an instance has no kill job');
      else if (job.dueAt > instance.expiresAt) faults.push('a kill job is due too late');
    }
    const kept = isServing(state) || EARLY.includes(reason);
    if ((promised.get(id) ?? 0) > now() && !kept) faults.push('an instance was lost');
  }
}

export type World = ReturnType<typeof openWorld>;
export type { Containers };
