import { dueAt, isDead, killDelay, planRepairs } from '@ephemera/domain';
import type { Instance, Repair, SeenContainer } from '@ephemera/domain';
import { exitMessage } from './exit-message.ts';
import { kill } from './kill.ts';
import type { OnKilled } from './kill.ts';
import type { Spawns } from './create.ts';
import type { Containers, Instances, Kills } from './ports.ts';

export interface ReconcilePorts {
  readonly host: string;
  readonly instances: Instances;
  readonly containers: Containers;
  readonly kills: Kills;
  /** Repairs of earlier runs that go on still: they are not begun again beside themselves. */
  readonly underWay?: Set<string>;
  /** How long a run waits for one repair before it goes on without it, ms. */
  readonly patience?: number;
  readonly spawns: Spawns;
  /** Told of every instance that goes on, and of how long it has, ms. */
  readonly onLease?: (instance: Instance, remaining: number) => void;
  readonly onKilled?: OnKilled | undefined;
  /** Told of every repair that changed something. */
  readonly onRepair: (repair: Repair['kind'], id: string, generation?: number) => void;
  /** Told of a repair that failed: it stands in nobody's way and is tried again next time. */
  readonly onFault: (repair: Repair['kind'] | 'spawn', id: string, error: unknown) => void;
}

/** How long a spawn job may take until it counts as never asked for, ms. */
const OWED = 5_000;

/** How many repairs go to the daemon at once. */
const AT_ONCE = 8;
/** How long a repair holds up those behind it, ms; it may hang, or wait for its stop grace. */
const PATIENCE = 2_000;
/** How many may be under way at most, those of earlier runs too. */
const MOST_UNDER_WAY = 64;

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
  for (const instance of await instances.strandedBefore(startedAt)) {
    repairs.push({ kind: 'finish', id: instance.id });
  }
  const armed = new Set((await ports.kills.waiting(host)).map(jobOf));
  const changed = await carryOut(ports, repairs, { now: startedAt, armed });
  await disarmStrays(ports);
  // Last: there may be very many of them, and what is overdue waits for nobody.
  await askAgain(ports, startedAt - OWED);
  return changed;
}

/**
 * Takes away the jobs of what has ended, or was claimed: whoever armed one may have stood still until
 * that was over, and have died then.
 */
async function disarmStrays({ instances, kills, host, underWay }: ReconcilePorts): Promise<void> {
  // Jobs first: an instance is begun before its job, so none of these can be too new to be known.
  const waiting = await kills.waiting(host);
  const armed = new Set(waiting.map(jobOf));
  const known = new Map((await instances.ofHost(host)).map((each) => [each.id, each]));
  /** One whose own job is not there yet, because it ends or was claimed just now, keeps this one. */
  const isNeeded = ({ generation }: Pick<Instance, 'generation'>, instance?: Instance) =>
    instance?.host === host &&
    !isDead(instance.state) &&
    (instance.generation === generation || !armed.has(jobOf(instance)));
  for (const job of waiting) {
    const { id, generation } = job;
    if (isNeeded(job, known.get(id)) || underWay?.has(`rebuild ${id}`)) continue;
    // By itself: it may have been rebuilt since.
    if (isNeeded(job, await instances.get(id))) continue;
    await kills.disarm({ id, supersedes: generation, host });
  }
}

function jobOf({ id, generation }: Pick<Instance, 'id' | 'generation'>): string {
  return `${id}-${generation}`;
}

/**
 * Whoever wrote the intent of an instance may have died before it asked the workers for it. A job
 * that is there already stays as it is.
 */
async function askAgain({ instances, spawns, onFault }: ReconcilePorts, before: number) {
  for (const instance of await instances.unbegunSince(before)) {
    try {
      await spawns.add(instance);
    } catch (error) {
      onFault('spawn', instance.id, error);
    }
  }
}

interface Found {
  /** When the scan began, on the store's clock. */
  readonly now: number;
  /** The kill jobs that wait. */
  readonly armed: ReadonlySet<string>;
}

async function carryOut(
  ports: ReconcilePorts,
  repairs: readonly Repair[],
  found: Found,
): Promise<number> {
  const { underWay = new Set(), patience = PATIENCE } = ports;
  const queue = [...repairs];
  let changed = 0;
  const attempt = async (repair: Repair, name: string): Promise<void> => {
    const id = idOf(repair);
    underWay.add(name);
    try {
      if (!(await mend(ports, repair, found))) return;
      changed++;
      ports.onRepair(repair.kind, id, generationOf(repair));
    } catch (error) {
      ports.onFault(repair.kind, id, error);
    } finally {
      underWay.delete(name);
    }
  };
  const lane = async (): Promise<void> => {
    for (let repair = queue.shift(); repair; repair = queue.shift()) {
      const name = `${repair.kind} ${idOf(repair)}`;
      if (underWay.has(name) || underWay.size >= MOST_UNDER_WAY) continue;
      await within(patience, attempt(repair, name));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return changed;
}

/** Waits for work, but no longer than so many ms; the work goes on. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

/** Gives whether anything had to be changed. */
async function mend(ports: ReconcilePorts, repair: Repair, found: Found): Promise<boolean> {
  const { now, armed } = found;
  const { containers, instances, kills } = ports;
  switch (repair.kind) {
    case 'remove_orphan':
      await containers.remove(repair.containerId);
      return true;
    case 'end': {
      const message = exitMessage({ ...repair, oomKilled: repair.reason === 'oom' });
      return (await kill(ports, repair.id, repair.reason, message)).kind === 'killed';
    }
    case 'lost': {
      const message = 'The container was removed by somebody else.';
      return (await kill(ports, repair.id, 'exited', message)).kind === 'killed';
    }
    case 'mark':
      await containers.mark(repair.containerId, repair);
      await disarmPooled(await instances.get(repair.id));
      return true;
    case 'doubt': {
      const message = 'The store lost what it was told last.';
      return (await kill(ports, repair.id, 'orphan', message)).kind === 'killed';
    }
    case 'finish':
      return (await kill(ports, repair.id, 'due')).kind === 'killed';
    case 'thaw':
      await containers.unpause(repair.id);
      // A pause that came meanwhile must not find its container running behind it.
      if ((await instances.get(repair.id))?.state === 'paused') await containers.pause(repair.id);
      return true;
    case 'rebuild':
      return rebuild(ports, repair.container);
    case 'arm':
      if (!armed.has(jobOf(repair.instance))) {
        await kills.arm(repair.instance, Math.max(0, killDelay(repair.instance, now)));
      }
      ports.onLease?.(repair.instance, Math.max(0, dueAt(repair.instance) - now));
      return false;
  }
  /** Whoever claimed it may not have heard so, and left the job of its time in the pool. */
  async function disarmPooled(claimed: Instance | undefined): Promise<void> {
    if (claimed?.pooledAs === undefined) return;
    await kills.disarm({ ...claimed, supersedes: claimed.pooledAs });
  }
  // An instance that the store forgot while it was being rebuilt is looked at again next time.
  async function rebuild({ host }: ReconcilePorts, container: SeenContainer): Promise<boolean> {
    const instance = await containers.recall(container.containerId);
    if (instance?.host !== host) return false;
    if (!(await instances.restore(instance))) return false;
    await kills.arm(instance, Math.max(0, killDelay(instance, now)));
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
  if (repair.kind === 'arm') return repair.instance.id;
  return repair.id;
}
