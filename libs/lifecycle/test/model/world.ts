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

/** Ends that may come before the deadline: somebody asked, or the container ended by itself. */
const EARLY = ['request', 'exited', 'oom', 'start_failed'];

/**
 * Two hosts, one store and its queues in memory, and expectations of what was promised. Every change
 * is checked as it is made; `faults` holds what broke a rule.
 */
export function openWorld() {
  const clock = manualClock();
  const { now } = clock;
  const store = memoryInstances({ now });
  const killJobs = memoryKillJobs(now);
  const daemons = { a: memoryContainers({ now }), b: memoryContainers({ now }) };
  const faults: string[] = [];
  /** The latest deadline that somebody was told of, by id. */
  const promised = new Map<string, number>();
  const everArmed = new Set<string>();
  /** Containers that have ended, of which their worker has not been told yet. */
  const exits = { a: [] as Exit[], b: [] as Exit[] };
  const claimed = new Set<string>();
  /** Since the store has lost something, what was written before may be gone from it. */
  let hasLost = false;

  const containersOf = (id: string) =>
    HOSTS.flatMap((host) =>
      [...daemons[host].containers.values()]
        .filter((memoryContainer) => memoryContainer.id === id)
        .map((memoryContainer) => ({ ...memoryContainer, host })),
    );

  /** Checks the end of a container, at the moment at which it is taken away. */
  const checkRemoval = async (host: Host, id: string): Promise<void> => {
    const mine = [...daemons[host].containers.values()].filter(
      (memoryContainer) => memoryContainer.id === id,
    );
    const instance = await store.get(id);
    if (!mine.some(({ running }) => running)) return;
    // A loss may take back an end that was under way.
    if (!hasLost && instance && isServing(instance.state) && instance.host === host) {
      faults.push(`a container was removed under an instance that is ${instance.state}`);
    }
    const left = (promised.get(id) ?? 0) - now();
    const early = instance?.reason !== undefined && EARLY.includes(instance.reason);
    if (left > 0 && !early && instance?.host === host) {
      faults.push(`a container was killed ${left} ms before its deadline`);
    }
  };

  /** Has the daemon of a host tell of what ends by `act`. */
  const telling = async (host: Host, action: () => Promise<void> | void): Promise<void> => {
    const running = () =>
      [...daemons[host].containers.values()].filter((memoryContainer) => memoryContainer.running);
    const before = running();
    await action();
    const left = new Set(running().map(({ containerId }) => containerId));
    exits[host].push(...before.filter(({ containerId }) => !left.has(containerId)));
  };

  // What was decided of one container must not end an instance that another serves.
  const { startDraining } = store;
  store.startDraining = async (id, reason, message) => {
    const instance = await store.get(id);
    const serves =
      instance && isServing(instance.state) && (reason === 'exited' || reason === 'oom');
    const mine = containersOf(id).some(
      ({ host, running, address }) =>
        host === instance?.host && running && address === instance.address,
    );
    if (serves && mine) faults.push('an instance was ended for the exit of another container');
    return startDraining(id, reason, message);
  };

  const containers = (host: Host): Containers => ({
    ...daemons[host],
    async start(instance, next, reportProgress) {
      const known = await store.get(instance.id);
      if (!hasLost && (known?.host !== host || !everArmed.has(instance.id))) {
        faults.push('a container was started that nobody meant to end');
      }
      return daemons[host].start(instance, next, reportProgress);
    },
    async removeInstance(id, grace) {
      await checkRemoval(host, id);
      await telling(host, () => daemons[host].removeInstance(id, grace));
    },
    async remove(containerId) {
      const found = [...daemons[host].containers.values()].find(
        (memoryContainer) => memoryContainer.containerId === containerId,
      );
      if (found) await checkRemoval(host, found.id);
      await telling(host, () => daemons[host].remove(containerId));
    },
  });

  const keeping: KillJobs = {
    ...killJobs,
    async schedule(instance, delay) {
      everArmed.add(instance.id);
      await killJobs.schedule(instance, delay);
    },
  };

  return {
    clock,
    store,
    killJobs: { ...killJobs, ...keeping },
    daemons,
    exits,
    exit: (host: Host, id: string) => telling(host, () => daemons[host].exit(id, { exitCode: 1 })),
    containers,
    containersOf,
    faults,
    promised,
    claimed,
    get hasLost() {
      return hasLost;
    },
    /** Gives what sets store and queues back to how they are now; promises made since are void. */
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
    /** What must hold when all is quiet and everybody is well. */
    async checkRest(ids: readonly string[]): Promise<void> {
      for (const id of ids) check(id, await store.get(id));
    },
    /** What must hold before any repair: a visitor of one that is frozen waits for a reconciliation. */
    async checkFrozen(ids: readonly string[]): Promise<void> {
      for (const id of ids) {
        const { state, host } = (await store.get(id)) ?? {};
        const isFrozen = containersOf(id).some((item) => item.host === host && item.paused);
        if (state === 'ready' && isFrozen) faults.push('a container is frozen that is ready');
      }
    },
    /** What must hold when every deadline has passed. */
    async checkEnd(ids: readonly string[]): Promise<void> {
      for (const id of ids) {
        const instance = await store.get(id);
        if (instance && !isDead(instance.state)) faults.push(`it is ${instance.state} for ever`);
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
      // A proxy that stood still between a claim and its arming arms for one that is dead by then.
      const left =
        killJobs.scheduled().some((armedKill) => armedKill.id === id) && !claimed.has(id);
      if (left && !hasLost) faults.push('a kill job has no instance');
      if (!instance) return;
    }
    const mine = there.find(({ host, running }) => host === instance.host && running);
    const { state, reason = '' } = instance;
    if (isServing(state)) {
      if (!mine) faults.push(`an instance is ${state} without a container`);
      if (mine?.paused && state !== 'paused') faults.push(`a container is frozen that is ${state}`);
      const job = killJobs
        .scheduled()
        .find((armedKill) => armedKill.id === id && armedKill.host === instance.host);
      if (!job) faults.push('an instance has no kill job');
      else if (job.dueAt > instance.expiresAt) faults.push('a kill job is due too late');
    }
    const kept = isServing(state) || EARLY.includes(reason);
    if ((promised.get(id) ?? 0) > now() && !kept) faults.push('an instance was lost');
  }
}

export type World = ReturnType<typeof openWorld>;
export type { Containers };
