import type { Instance } from './instance.ts';
import { dueAt } from './lease.ts';
import { isDead, isServing } from './state.ts';

/** A labelled container as the daemon lists it. Times are epoch milliseconds. */
export interface SeenContainer {
  readonly containerId: string;
  readonly id: string;
  readonly generation: number;
  readonly createdAt: number;
  /**
   * The first deadline, from the container's labels. It replaces a lease that the store has lost.
   */
  readonly expiresAt: number;
  readonly running: boolean;
  /** On the instance's network. Empty if it has no address there. */
  readonly address: string;
  /** The container is paused. */
  readonly paused: boolean;
  /** Pool label of the container. Absent if the container was not started for a pool. */
  readonly pooled?: 'unclaimed' | 'claimed' | undefined;
  /** Unclaimed, and its image has been rebuilt or pulled again under the same name. */
  readonly isOutdated?: boolean | undefined;
  readonly oomKilled: boolean;
  readonly exitCode: number | undefined;
}

/** One repair. */
export type Repair =
  /** Remove a container that no instance owns. */
  | {
      readonly kind: 'remove_orphan';
      readonly containerId: string;
      readonly id: string;
      readonly generation: number;
    }
  /** The container exited. */
  | {
      readonly kind: 'end';
      readonly id: string;
      readonly reason: 'exited' | 'oom';
      readonly exitCode: number | undefined;
    }
  /** The deadline has passed, or a kill was started and not finished. */
  | { readonly kind: 'finish_drain'; readonly id: string }
  /** The instance should have a container, but has none. */
  | { readonly kind: 'container_missing'; readonly id: string }
  /**
   * The instance is ready, but its container is paused. A resume raced with a pause, or another
   * program paused the container.
   */
  | { readonly kind: 'unpause'; readonly id: string }
  /** The store has lost an instance that is before its first deadline. */
  | { readonly kind: 'rebuild'; readonly container: SeenContainer }
  /**
   * The instance is claimed, but its container's label says unclaimed. Without the label, a store
   * that loses the claim would remove the container.
   */
  | {
      readonly kind: 'label_claimed';
      readonly id: string;
      readonly containerId: string;
      readonly generation: number;
    }
  /** A warm instance that a client may have claimed before the store lost the claim. */
  | { readonly kind: 'evict_unverified'; readonly id: string }
  /** A warm instance of an image whose name means another image now. */
  | { readonly kind: 'replace_outdated'; readonly id: string }
  /** The instance is healthy. Its kill job must exist. */
  | { readonly kind: 'ensure_kill_job'; readonly instance: Instance };

export interface Scan {
  readonly host: string;
  /** Start of the scan on the store's clock. Younger containers are left alone. */
  readonly startedAt: number;
  readonly containers: readonly SeenContainer[];
  /** The store's data on every id among the containers, and on every instance of this host. */
  readonly instances: ReadonlyMap<string, Instance>;
}

/** A spawn may have a container that is not listed yet, or none between two attempts. */
const MIN_AGE_MS = 5_000;

/**
 * Compares the containers of the daemon with the instances of the store, and returns the repairs in
 * scan order. Pure: the same scan always gives the same repairs.
 */
export function planRepairs(scan: Scan): Repair[] {
  const repairs: Repair[] = [];
  const owned = new Set<string>();
  /** Ids that a repair ends or rebuilds. They need no further repair. */
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
      running.get(id)?.some((other) => isReplacedBy(other, container, instance)) ?? false;
    const repair = repairForContainer(container, instance, hasTwin, scan);
    if (!repair || settled.has(id)) continue;
    if (repair.kind !== 'remove_orphan' && repair.kind !== 'label_claimed') settled.add(id);
    repairs.push(repair);
  }
  for (const id of outdatedInstances(scan, settled)) {
    settled.add(id);
    repairs.push({ kind: 'replace_outdated', id });
  }
  for (const instance of scan.instances.values()) {
    if (settled.has(instance.id) || isOnOtherHost(instance, scan.host)) continue;
    const repair = repairForInstance(instance, owned.has(instance.id), scan.startedAt);
    if (repair) repairs.push(repair);
  }
  return repairs;
}

/**
 * The warm instances that are replaced because of their image, oldest first: at most half of each
 * pool, so that the rest can be claimed while the pool starts new ones. The next half follows when
 * the pool is full again, so an image that does not start costs no more than the first half.
 */
function outdatedInstances(
  { containers, instances, startedAt }: Scan,
  settled: ReadonlySet<string>,
): string[] {
  const unclaimed = containers.filter(
    ({ id, pooled, createdAt }) =>
      pooled === 'unclaimed' &&
      createdAt < startedAt &&
      !settled.has(id) &&
      instances.get(id)?.state === 'warm',
  );
  const pools = Map.groupBy(unclaimed, ({ id }) => instances.get(id)?.pool);
  return [...pools].flatMap(([fingerprint, pool]) => {
    const members = [...instances.values()].filter(
      (instance) =>
        instance.pool === fingerprint && ['pending', 'starting', 'warm'].includes(instance.state),
    );
    const isFull =
      members.every(({ state }) => state === 'warm') &&
      members.length >= (members[0]?.template.pool ?? 0);
    if (!isFull) return [];
    return pool
      .filter(({ isOutdated }) => isOutdated === true)
      .sort((a, b) => a.createdAt - b.createdAt)
      .slice(0, Math.ceil(pool.length / 2))
      .map(({ id }) => id);
  });
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
    // An unclaimed instance has no client, so it is removed. The pool starts another.
    const hasClient = container.pooled !== 'unclaimed';
    const alive = container.running && hasClient && container.expiresAt > startedAt;
    return alive ? { kind: 'rebuild', container } : orphan;
  }
  if (isDead(instance.state)) return orphan;
  // After losing writes, the store has assigned the instance to another host.
  if (isOnOtherHost(instance, host)) return orphan;
  if (instance.state === 'warm' && container.pooled === 'claimed') {
    return { kind: 'rebuild', container };
  }
  if (instance.unverified === true && instance.state === 'warm')
    return { kind: 'evict_unverified', id };
  // An instance that became ready during the scan may have been listed before its container ran.
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

/**
 * Whether `second` is a duplicate of `first`. A store that lost the first container may start a
 * second one; the first still serves the instance.
 */
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
    // The process that ends it may still wait for the container to stop.
    const abandoned = lastTransitionAt < now - MIN_AGE_MS - template.stopGrace;
    return abandoned ? { kind: 'finish_drain', id: instance.id } : undefined;
  }
  if (dueAt(instance) <= now) return { kind: 'finish_drain', id: instance.id };
  if (isServing(instance.state) && !hasContainer && lastTransitionAt < now - MIN_AGE_MS) {
    return { kind: 'container_missing', id: instance.id };
  }
  return instance.state === 'pending' ? undefined : { kind: 'ensure_kill_job', instance };
}
