import type { InstanceResource } from '@ephemera/contract';

import type { AdminApi } from '../admin-api.ts';
import type { OnProgress } from '../terminal/reporter.ts';
import { waitUntil } from './wait-until.ts';

const timeoutMs = 30_000;

/** Ids of the instances that live and are somebody's: those of a pool are nobody's yet. */
export async function createdIds(api: AdminApi): Promise<Set<string>> {
  return new Set((await api.list()).filter(isCreated).map(({ id }) => id));
}

/**
 * Kills the instances that were not there `before`, and waits until they are gone. Instances in a
 * pool are left alone: the workers would fill it up again for as long as they run.
 *
 * @returns how many are left when the time is over
 */
export async function killCreatedSince(
  api: AdminApi,
  before: ReadonlySet<string>,
  onProgress: OnProgress,
): Promise<number> {
  const killed = new Set<string>();
  let left = 0;
  let first = true;
  await waitUntil(async () => {
    const listed = await api.list();
    const since = listed.filter((instance) => isCreated(instance) && !before.has(instance.id));
    for (const { id, status } of since) {
      // What only now begins to start may be meant for a pool; it is seen again when it is ready.
      if (killed.has(id) || !(first || status.state === 'ready')) continue;
      await api.kill(id);
      killed.add(id);
    }
    first = false;
    left = since.length;
    onProgress(
      killed.size > 0 ? `${Math.max(killed.size - left, 0)} of ${killed.size} gone` : 'none to end',
    );
    return left === 0;
  }, timeoutMs);
  return left;
}

const UNCLAIMED_STATES: readonly string[] = ['warm', 'gone', 'failed'];

function isCreated({ status }: InstanceResource): boolean {
  return !UNCLAIMED_STATES.includes(status.state);
}
