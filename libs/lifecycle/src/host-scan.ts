import type { Instance, Repair, SeenContainer } from '@ephemera/domain';
import { planRepairs } from '@ephemera/domain';
import { FULL_READ_RUNS } from './limits.ts';
import type { Instances } from './ports.ts';

/** What the reconciliations of a host remember of its instances, so that they read only what changed. */
export interface HostScan {
  /** Number of runs. */
  runs: number;
  /** The instances of the last run, by id. */
  instances: ReadonlyMap<string, Instance>;
}

export function newHostScan(): HostScan {
  return { runs: 0, instances: new Map() };
}

export interface ScanResult {
  /** The instances of the host, and those of all containers. */
  readonly known: ReadonlyMap<string, Instance>;
  readonly repairs: Repair[];
}

/**
 * Reads the instances of a host and of the containers on it, and plans the repairs. An instance that has
 * not changed since the last run is not read, except in every `FULL_READ_RUNS`th run: its last use has
 * no version. A repair is planned only for an instance that this run has read.
 * @param containers read before this call
 */
export async function scanHost(
  {
    instances,
    host,
  }: { readonly instances: Pick<Instances, 'get' | 'ofHost'>; readonly host: string },
  containers: readonly SeenContainer[],
  startedAt: number,
  last: HostScan,
): Promise<ScanResult> {
  last.runs++;
  const remembered = new Map(
    [...last.instances].filter(([id]) => slotOf(id) !== last.runs % FULL_READ_RUNS),
  );
  const ofHost = new Map<string, Instance>();
  for (const instance of await instances.ofHost(host, remembered))
    ofHost.set(instance.id, instance);
  const known = new Map(ofHost);
  for (const { id } of containers) {
    if (known.has(id)) continue;
    const instance = await instances.get(id);
    if (instance) known.set(id, instance);
  }
  const plan = () => planRepairs({ host, startedAt, containers, instances: known });
  let repairs = plan();
  const unread = repairs.flatMap((repair) => {
    const id = repair.kind === 'rebuild' ? undefined : idOfRepair(repair);
    const isUnread = id !== undefined && known.get(id) === remembered.get(id) && known.has(id);
    return isUnread && repair.kind !== 'ensure_kill_job' ? [id] : [];
  });
  for (const id of new Set(unread)) {
    const instance = await instances.get(id);
    ofHost.delete(id);
    known.delete(id);
    if (instance) known.set(id, instance);
    if (instance?.host === host) ofHost.set(id, instance);
  }
  if (unread.length > 0) repairs = plan();
  last.instances = ofHost;
  return { known, repairs };
}

function idOfRepair(repair: Exclude<Repair, { readonly kind: 'rebuild' }>): string {
  return repair.kind === 'ensure_kill_job' ? repair.instance.id : repair.id;
}

/** Spreads the full reads over the runs. */
function slotOf(id: string): number {
  let sum = 0;
  for (const char of id) sum = (sum * 31 + char.charCodeAt(0)) % 1_000_003;
  return sum % FULL_READ_RUNS;
}
