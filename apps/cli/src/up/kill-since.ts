import type { InstanceResource } from '@ephemera/contract';
import type { AdminApi } from '../admin-api.ts';
import type { Tell } from '../terminal/reporter.ts';
import { waitUntil } from './wait-until.ts';

const withinMs = 30_000;

/** Ids of the instances that live: all but those whose end is over. */
export async function livingIds(api: AdminApi): Promise<Set<string>> {
  return new Set((await api.list()).filter(isAlive).map(({ id }) => id));
}

/**
 * Kills the instances that were not there `before`, those that come up meanwhile included, and
 * waits until they are gone.
 *
 * @returns how many are left when the time is over
 */
export async function killSince(
  api: AdminApi,
  before: ReadonlySet<string>,
  tell: Tell,
): Promise<number> {
  const found = new Set<string>();
  let left = 0;
  await waitUntil(async () => {
    const living = [...(await livingIds(api))].filter((id) => !before.has(id));
    for (const id of living) {
      if (!found.has(id)) await api.kill(id);
      found.add(id);
    }
    left = living.length;
    tell(found.size > 0 ? `${found.size - left} of ${found.size} gone` : 'none to end');
    return left === 0;
  }, withinMs);
  return left;
}

function isAlive({ status }: InstanceResource): boolean {
  return status.state !== 'gone' && status.state !== 'failed';
}
