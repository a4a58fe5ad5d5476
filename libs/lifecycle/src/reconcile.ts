import { dueAt, isDead, killDelay, planRepairs } from '@ephemera/domain';
import type { Instance, Repair, SeenContainer } from '@ephemera/domain';
import { exitMessage, kill } from './kill.ts';
import type { OnKilled } from './kill.ts';
import type { Containers, Instances, KillJobs, Spawns } from './ports.ts';

export interface ReconcilePorts {
  readonly host: string;
  readonly instances: Instances;
  readonly containers: Containers;
  readonly killJobs: KillJobs;
  /** Repairs of earlier runs that go on still: they are not begun again beside themselves. */
  readonly inFlight?: Set<string>;
  /** How long a run waits for one repair before it goes on without it, ms. */
  readonly repairTimeoutMs?: number;
  readonly spawns: Spawns;
  /** Told of every instance that goes on, and of how long it has, ms. */
  readonly onLease?: (instance: Instance, remaining: number) => void;
  readonly onKilled?: OnKilled | undefined;
  /** Told of every repair that changed something. */
  readonly onRepair: (repair: Repair['kind'], id: string, generation?: number) => void;
  /** Told of a repair that failed: it stands in nobody's way and is tried again next time. */
  readonly onError: (repair: Repair['kind'] | 'spawn', id: string, error: unknown) => void;
}

/** How long a spawn job may take until it counts as never asked for, ms. */
const SPAWN_JOB_GRACE_MS = 5_000;

/** How many repairs go to the daemon at once. */
const REPAIR_CONCURRENCY = 8;
/** How long a repair holds up those behind it, ms; it may hang, or wait for its stop grace. */
const REPAIR_TIMEOUT_MS = 2_000;
/** How many may be under way at most, those of earlier runs too. */
const MAX_IN_FLIGHT = 64;

/**
 * Joins the labelled containers of this host with the instances that the store knows, and puts
 * right every difference. Gives the number of repairs that changed something.
 */
export async function reconcile(ports: ReconcilePorts): Promise<number> {
  const { instances, containers, host } = ports;
  const startedAt = await instances.now();
  // Containers first: an instance exists before its container, so none of these can be too new
  // for the second reading.
  const seen = await containers.list();
  const known = new Map<string, Instance>();
  for (const instance of await instances.ofHost(host)) known.set(instance.id, instance);
  for (const { id } of seen) {
    if (known.has(id)) continue;
    const instance = await instances.get(id);
    if (instance) known.set(id, instance);
  }
  const repairs = planRepairs({ host, startedAt, containers: seen, instances: known });
  for (const instance of await instances.unassignedOverdue(startedAt)) {
    repairs.push({ kind: 'finish_drain', id: instance.id });
  }
  const scheduled = new Set((await ports.killJobs.listDelayed(host)).map(jobOf));
  const changed = await applyRepairs(ports, repairs, { now: startedAt, scheduled });
  await cancelStaleKillJobs(ports);
  // Last: there may be very many of them, and what is overdue waits for nobody.
  await requeueSpawns(ports, startedAt - SPAWN_JOB_GRACE_MS);
  return changed;
}

/**
 * Takes away the jobs of what has ended, or was claimed: whoever armed one may have stood still until
 * that was over, and have died then.
 */
async function cancelStaleKillJobs({
  instances,
  killJobs,
  host,
  inFlight,
}: ReconcilePorts): Promise<void> {
  // Jobs first: an instance is begun before its job, so none of these can be too new to be known.
  const waiting = await killJobs.listDelayed(host);
  const scheduled = new Set(waiting.map(jobOf));
  const known = new Map((await instances.ofHost(host)).map((instance) => [instance.id, instance]));
  /** One whose own job is not there yet, because it ends or was claimed just now, keeps this one. */
  const isNeeded = ({ generation }: Pick<Instance, 'generation'>, instance?: Instance) =>
    instance?.host === host &&
    !isDead(instance.state) &&
    (instance.generation === generation || !scheduled.has(jobOf(instance)));
  for (const job of waiting) {
    const { id, generation } = job;
    if (isNeeded(job, known.get(id)) || inFlight?.has(`rebuild ${id}`)) continue;
    // By itself: it may have been rebuilt since.
    if (isNeeded(job, await instances.get(id))) continue;
    await killJobs.cancel({ id, supersedes: generation, host });
  }
}

function jobOf({ id, generation }: Pick<Instance, 'id' | 'generation'>): string {
  return `${id}-${generation}`;
}

/**
 * Whoever wrote the intent of an instance may have died before it asked the workers for it. A job
 * that is there already stays as it is.
 */
async function requeueSpawns({ instances, spawns, onError }: ReconcilePorts, before: number) {
  for (const instance of await instances.pendingWithoutHost(before)) {
    try {
      await spawns.add(instance);
    } catch (error) {
      onError('spawn', instance.id, error);
    }
  }
}

interface RepairScan {
  /** When the scan began, on the store's clock. */
  readonly now: number;
  /** The kill jobs that wait. */
  readonly scheduled: ReadonlySet<string>;
}

async function applyRepairs(
  ports: ReconcilePorts,
  repairs: readonly Repair[],
  found: RepairScan,
): Promise<number> {
  const { inFlight = new Set(), repairTimeoutMs = REPAIR_TIMEOUT_MS } = ports;
  const queue = [...repairs];
  let changed = 0;
  const attempt = async (repair: Repair, name: string): Promise<void> => {
    const id = idOf(repair);
    inFlight.add(name);
    try {
      if (!(await applyRepair(ports, repair, found))) return;
      changed++;
      ports.onRepair(repair.kind, id, generationOf(repair));
    } catch (error) {
      ports.onError(repair.kind, id, error);
    } finally {
      inFlight.delete(name);
    }
  };
  const lane = async (): Promise<void> => {
    for (let repair = queue.shift(); repair; repair = queue.shift()) {
      const name = `${repair.kind} ${idOf(repair)}`;
      if (inFlight.has(name) || inFlight.size >= MAX_IN_FLIGHT) continue;
      await withTimeout(repairTimeoutMs, attempt(repair, name));
    }
  };
  await Promise.all(Array.from({ length: REPAIR_CONCURRENCY }, lane));
  return changed;
}

/** Waits for work, but no longer than so many ms; the work goes on. */
async function withTimeout(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}

/** Gives whether anything had to be changed. */
async function applyRepair(
  ports: ReconcilePorts,
  repair: Repair,
  found: RepairScan,
): Promise<boolean> {
  const { now, scheduled } = found;
  const { containers, instances, killJobs } = ports;
  switch (repair.kind) {
    case 'remove_orphan':
      await containers.remove(repair.containerId);
      return true;
    case 'end': {
      const message = exitMessage({ ...repair, oomKilled: repair.reason === 'oom' });
      return (await kill(ports, repair.id, repair.reason, message)).kind === 'killed';
    }
    case 'container_missing': {
      const message = 'The container was removed by somebody else.';
      return (await kill(ports, repair.id, 'exited', message)).kind === 'killed';
    }
    case 'label_claimed':
      await containers.labelClaimed(repair.containerId, repair);
      await cancelPoolKillJob(await instances.get(repair.id));
      return true;
    case 'evict_unverified': {
      const message = 'The store lost what it was told last.';
      return (await kill(ports, repair.id, 'orphan', message)).kind === 'killed';
    }
    case 'finish_drain':
      return (await kill(ports, repair.id, 'due')).kind === 'killed';
    case 'unpause':
      await containers.unpauseContainer(repair.id);
      // A pause that came meanwhile must not find its container running behind it.
      if ((await instances.get(repair.id))?.state === 'paused')
        await containers.pauseContainer(repair.id);
      return true;
    case 'rebuild':
      return rebuild(ports, repair.container);
    case 'ensure_kill_job':
      if (!scheduled.has(jobOf(repair.instance))) {
        await killJobs.schedule(repair.instance, Math.max(0, killDelay(repair.instance, now)));
      }
      ports.onLease?.(repair.instance, Math.max(0, dueAt(repair.instance) - now));
      return false;
  }
  /** Whoever claimed it may not have heard so, and left the job of its time in the pool. */
  async function cancelPoolKillJob(claimed: Instance | undefined): Promise<void> {
    if (claimed?.pooledAs === undefined) return;
    await killJobs.cancel({ ...claimed, supersedes: claimed.pooledAs });
  }
  // An instance that the store forgot while it was being rebuilt is looked at again next time.
  async function rebuild({ host }: ReconcilePorts, container: SeenContainer): Promise<boolean> {
    const instance = await containers.recoverInstance(container.containerId);
    if (instance?.host !== host) return false;
    if (!(await instances.restore(instance))) return false;
    await killJobs.schedule(instance, Math.max(0, killDelay(instance, now)));
    return true;
  }
}

/** Of a repair that ends an instance who ends it tells. */
function generationOf(repair: Repair): number | undefined {
  if (repair.kind === 'rebuild') return repair.container.generation;
  return 'generation' in repair ? repair.generation : undefined;
}

function idOf(repair: Repair): string {
  if (repair.kind === 'rebuild') return repair.container.id;
  if (repair.kind === 'ensure_kill_job') return repair.instance.id;
  return repair.id;
}
