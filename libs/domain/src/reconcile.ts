import type { Instance } from './instance.ts';
import { dueAt } from './lease.ts';
import { isDead, isServing } from './state.ts';

/** A labelled container as the daemon lists it. Times are epoch milliseconds. */
export interface SeenContainer {
  readonly containerId: string;
  readonly id: string;
  readonly generation: number;
  readonly createdAt: number;
  /** The first deadline, written at creation: all that is left when the store has lost the lease. */
  readonly expiresAt: number;
  readonly running: boolean;
  /** On its network; empty where it has none. */
  readonly address: string;
  /** Every process in it is frozen. */
  readonly paused: boolean;
  /** What became of it in a pool: `waits` as far as the daemon was told, or `claimed`; else absent. */
  readonly pooled?: 'unclaimed' | 'claimed' | undefined;
  readonly oomKilled: boolean;
  readonly exitCode: number | undefined;
}

/** One thing to put right. */
export type Repair =
  /** Remove a container that no instance owns. */
  | {
      readonly kind: 'remove_orphan';
      readonly containerId: string;
      readonly id: string;
      readonly generation: number;
    }
  /** The container ended by itself. */
  | {
      readonly kind: 'end';
      readonly id: string;
      readonly reason: 'exited' | 'oom';
      readonly exitCode: number | undefined;
    }
  /** The deadline has passed, or a kill was begun and not finished. */
  | { readonly kind: 'finish_drain'; readonly id: string }
  /** The container is gone, though its instance should have one. */
  | { readonly kind: 'container_missing'; readonly id: string }
  /** It serves, and its container is frozen: a pause was overtaken and cut short, or came from outside. */
  | { readonly kind: 'unpause'; readonly id: string }
  /** The store has forgotten an instance that is still within its first deadline. */
  | { readonly kind: 'rebuild'; readonly container: SeenContainer }
  /** Taken from a pool, and its container does not tell so yet: the store might forget it. */
  | {
      readonly kind: 'label_claimed';
      readonly id: string;
      readonly containerId: string;
      readonly generation: number;
    }
  /** A warm one that somebody may have claimed before the store lost that. */
  | { readonly kind: 'evict_unverified'; readonly id: string }
  /** All is well; its kill job must exist. */
  | { readonly kind: 'ensure_kill_job'; readonly instance: Instance };

export interface Scan {
  readonly host: string;
  /** When the scan began, on the store's clock: whatever is younger is left alone. */
  readonly startedAt: number;
  readonly containers: readonly SeenContainer[];
  /** What the store says of every id among the containers and of every instance of this host. */
  readonly instances: ReadonlyMap<string, Instance>;
}

/** A started spawn may hold its container for a moment before it is listed, or between retries. */
const MIN_AGE_MS = 5_000;

/**
 * Joins what the daemon runs with what the store knows, and says what to do about each
 * difference. Pure: the same scan always gives the same repairs, in the order of the scan.
 */
export function planRepairs(scan: Scan): Repair[] {
  const repairs: Repair[] = [];
  const owned = new Set<string>();
  /** Ids that a repair ends or rebuilds: what else would be done to them is done with that. */
  const settled = new Set<string>();
  const running = Map.groupBy(
    scan.containers.filter((container) => container.running),
    ({ id }) => id,
  );
  for (const container of scan.containers) {
    const { id } = container;
    const instance = scan.instances.get(id);
    if (instance) owned.add(id);
    const hasTwin =
      running.get(id)?.some((seenContainer) => isReplacedBy(seenContainer, container, instance)) ??
      false;
    const repair = repairForContainer(container, instance, hasTwin, scan);
    if (!repair || settled.has(id)) continue;
    if (repair.kind !== 'remove_orphan' && repair.kind !== 'label_claimed') settled.add(id);
    repairs.push(repair);
  }
  for (const instance of scan.instances.values()) {
    if (settled.has(instance.id) || isOnOtherHost(instance, scan.host)) continue;
    const repair = repairForInstance(instance, owned.has(instance.id), scan.startedAt);
    if (repair) repairs.push(repair);
  }
  return repairs;
}

function repairForContainer(
  container: SeenContainer,
  instance: Instance | undefined,
  hasTwin: boolean,
  { startedAt, host }: Scan,
): Repair | undefined {
  const { containerId, id, generation } = container;
  const orphan: Repair = { kind: 'remove_orphan', containerId, id, generation };
  if (container.createdAt >= startedAt) return undefined;
  if (!instance) {
    // Nobody had claimed it, so nobody misses it; and the pool is filled anew.
    const missed = container.pooled !== 'unclaimed';
    const alive = container.running && missed && container.expiresAt > startedAt;
    return alive ? { kind: 'rebuild', container } : orphan;
  }
  if (isDead(instance.state)) return orphan;
  // A store that was set back has let another host begin it once more.
  if (isOnOtherHost(instance, host)) return orphan;
  if (instance.state === 'warm' && container.pooled === 'claimed') {
    return { kind: 'rebuild', container };
  }
  if (instance.unverified === true && instance.state === 'warm')
    return { kind: 'evict_unverified', id };
  // One that began to serve while the scan was under way may have been listed before it ran.
  const served = isServing(instance.state) && instance.lastTransitionAt < startedAt;
  if (served && hasTwin) return orphan;
  if (served && !container.running) {
    const reason = container.oomKilled ? 'oom' : 'exited';
    return { kind: 'end', id, reason, exitCode: container.exitCode };
  }
  const isPausedUnexpectedly = served && container.paused && instance.state !== 'paused';
  if (isPausedUnexpectedly && dueAt(instance) > startedAt) return { kind: 'unpause', id };
  const isClaimed = served && instance.state !== 'warm' && instance.pool === undefined;
  if (isClaimed && container.pooled === 'unclaimed')
    return { kind: 'label_claimed', id, containerId, generation: instance.generation };
  return undefined;
}

/** A second container of an instance was made for a store that had lost the first, which serves on. */
function isReplacedBy(
  first: SeenContainer,
  second: SeenContainer,
  instance: Instance | undefined,
): boolean {
  const serves = first.address === instance?.address;
  return serves && (!second.running || second.address !== instance.address);
}

function isOnOtherHost(instance: Instance, host: string): boolean {
  return instance.host !== undefined && instance.host !== host;
}

function repairForInstance(
  instance: Instance,
  hasContainer: boolean,
  now: number,
): Repair | undefined {
  if (isDead(instance.state)) return undefined;
  const { lastTransitionAt, template } = instance;
  if (instance.state === 'draining') {
    // Whoever ends it may be waiting for its container to end in its own way.
    const abandoned = lastTransitionAt < now - MIN_AGE_MS - template.stopGrace;
    return abandoned ? { kind: 'finish_drain', id: instance.id } : undefined;
  }
  if (dueAt(instance) <= now) return { kind: 'finish_drain', id: instance.id };
  if (isServing(instance.state) && !hasContainer && lastTransitionAt < now - MIN_AGE_MS) {
    return { kind: 'container_missing', id: instance.id };
  }
  return instance.state === 'pending' ? undefined : { kind: 'ensure_kill_job', instance };
}
