import { isDead, killDelay } from '@ephemera/domain';
import type { Instance, Repair, SeenContainer } from '@ephemera/domain';
import { exitMessage } from './exit-report.ts';
import { newHostScan, scanHost } from './host-scan.ts';
import type { HostScan } from './host-scan.ts';
import { kill } from './kill.ts';
import type { OnKilled } from './kill.ts';
import {
  MAX_REPAIRS_IN_FLIGHT,
  REPAIR_CONCURRENCY,
  REPAIR_TIMEOUT_MS,
  SPAWN_JOB_GRACE_MS,
} from './limits.ts';
import type { Containers, Instances, KillJobs, Spawns } from './ports.ts';

export interface ReconcilePorts {
  readonly host: string;
  readonly instances: Instances;
  readonly containers: Containers;
  readonly killJobs: KillJobs;
  /** What the earlier runs have read. Absent: every instance is read. */
  readonly scan?: HostScan;
  /** Repairs of earlier runs that are still in progress. They are not started a second time. */
  readonly inFlight?: Set<string>;
  /** How long a run waits for one repair before it continues without it, ms. */
  readonly repairTimeoutMs?: number;
  readonly spawns: Spawns;
  /**
   * Whether this run also repairs the instances that have no host, which are those of all hosts. Absent:
   * always.
   */
  readonly takesUnassigned?: () => Promise<boolean>;
  readonly onKilled?: OnKilled | undefined;
  /** Called after every repair that changed something. */
  readonly onRepair: (repair: Repair['kind'], id: string, generation?: number) => void;
  /** Called when a repair fails. Other repairs continue, and the next run tries it again. */
  readonly onError: (repair: Repair['kind'] | 'spawn', id: string, error: unknown) => void;
  /** Called for a repair that does not start, because too many are in progress. */
  readonly onSkip?: (repair: Repair['kind']) => void;
}

/**
 * Compares the labelled containers of this host with the instances in the store, and repairs every
 * difference. Returns the number of repairs that changed something.
 */
export async function reconcile(ports: ReconcilePorts): Promise<number> {
  const { instances, containers, host } = ports;
  const startedAt = await instances.now();
  // Read the containers first. An instance is created before its container, so the store knows the
  // instance of every listed container.
  const seen = await containers.list();
  const { known, repairs } = await scanHost(ports, seen, startedAt, ports.scan ?? newHostScan());
  const takesUnassigned = (await ports.takesUnassigned?.()) ?? true;
  if (takesUnassigned) {
    for (const instance of await instances.unassignedOverdue(startedAt)) {
      repairs.push({ kind: 'finish_drain', id: instance.id });
    }
  }
  const scheduled = new Set((await ports.killJobs.listDelayed(host)).map(jobOf));
  const changed = await applyRepairs(ports, repairs, { now: startedAt, scheduled });
  await cancelStaleKillJobs(ports, known);
  // Run this last: there may be very many of them, and overdue instances must not wait for them.
  if (takesUnassigned) await requeueSpawns(ports, startedAt - SPAWN_JOB_GRACE_MS);
  return changed;
}

/**
 * Cancels the kill jobs of instances that have ended or were claimed. A process that stalls may
 * schedule the job after that change, and then die.
 */
async function cancelStaleKillJobs(
  { instances, killJobs, host, inFlight }: ReconcilePorts,
  known: ReadonlyMap<string, Instance>,
): Promise<void> {
  const waiting = await killJobs.listDelayed(host);
  const scheduled = new Set(waiting.map(jobOf));
  /** If the job of the current generation does not exist yet, an older job is kept. */
  const isNeeded = ({ generation }: Pick<Instance, 'generation'>, instance?: Instance) =>
    instance?.host === host &&
    !isDead(instance.state) &&
    (instance.generation === generation || !scheduled.has(jobOf(instance)));
  for (const job of waiting) {
    const { id, generation } = job;
    if (isNeeded(job, known.get(id)) || inFlight?.has(`rebuild ${id}`)) continue;
    // Read it: it may be newer than the scan. An instance is created before its job, so the store knows
    // the instance of every listed job.
    if (isNeeded(job, await instances.get(id))) continue;
    await killJobs.cancel({ id, supersedes: generation, host });
  }
}

function jobOf({ id, generation }: Pick<Instance, 'id' | 'generation'>): string {
  return `${id}-${generation}`;
}

/**
 * Adds the spawn jobs of pending instances. The process that created an instance may have died
 * before it added the job. An existing job is unchanged.
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
  /** Start of the scan, on the store's clock. */
  readonly now: number;
  /** The delayed kill jobs. */
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
  const runRepairs = async (): Promise<void> => {
    for (let repair = queue.shift(); repair; repair = queue.shift()) {
      const name = `${repair.kind} ${idOf(repair)}`;
      if (inFlight.has(name)) continue;
      if (inFlight.size >= MAX_REPAIRS_IN_FLIGHT) {
        ports.onSkip?.(repair.kind);
        continue;
      }
      await withTimeout(repairTimeoutMs, attempt(repair, name));
    }
  };
  await Promise.all(Array.from({ length: REPAIR_CONCURRENCY }, runRepairs));
  return changed;
}

/** Waits for `work`, but at most `ms`. The work itself continues. */
async function withTimeout(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}

/** Applies one repair. Returns whether it changed anything. */
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
      const message = 'The container was removed by another program.';
      return (await kill(ports, repair.id, 'exited', message)).kind === 'killed';
    }
    case 'label_claimed':
      await containers.labelClaimed(repair.containerId, repair);
      await cancelPoolKillJob(await instances.get(repair.id));
      return true;
    case 'evict_unverified': {
      const message =
        'The store lost its last writes; a client may already have claimed the instance.';
      return (await kill(ports, repair.id, 'orphan', message)).kind === 'killed';
    }
    case 'replace_outdated': {
      // `surplus` does not end an instance that was claimed meanwhile.
      const message = 'The name of its image means another image now.';
      return (await kill(ports, repair.id, 'surplus', message)).kind === 'killed';
    }
    case 'finish_drain':
      return (await kill(ports, repair.id, 'due')).kind === 'killed';
    case 'unpause':
      await containers.unpauseContainer(repair.id);
      // A pause may have happened since the scan. The container must then stay paused.
      if ((await instances.get(repair.id))?.state === 'paused')
        await containers.pauseContainer(repair.id);
      return true;
    case 'rebuild':
      return rebuild(ports, repair.container);
    case 'ensure_kill_job':
      if (!scheduled.has(jobOf(repair.instance))) {
        await killJobs.schedule(repair.instance, Math.max(0, killDelay(repair.instance, now)));
      }
      return false;
  }
  /**
   * The process that claimed the instance may have died before it cancelled the kill job of the
   * pool generation.
   */
  async function cancelPoolKillJob(claimed: Instance | undefined): Promise<void> {
    if (claimed?.pooledAs === undefined) return;
    await killJobs.cancel({ ...claimed, supersedes: claimed.pooledAs });
  }
  // If the store loses the instance during the rebuild, the next run rebuilds it again.
  async function rebuild({ host }: ReconcilePorts, container: SeenContainer): Promise<boolean> {
    const instance = await containers.recoverInstance(container.containerId);
    if (instance?.host !== host) return false;
    if (!(await instances.restore(instance))) return false;
    await killJobs.schedule(instance, Math.max(0, killDelay(instance, now)));
    return true;
  }
}

/**
 * The generation for `onRepair`. Repairs that end an instance are reported by `onKilled` instead.
 */
function generationOf(repair: Repair): number | undefined {
  if (repair.kind === 'rebuild') return repair.container.generation;
  return 'generation' in repair ? repair.generation : undefined;
}

function idOf(repair: Repair): string {
  if (repair.kind === 'rebuild') return repair.container.id;
  if (repair.kind === 'ensure_kill_job') return repair.instance.id;
  return repair.id;
}
