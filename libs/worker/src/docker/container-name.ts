import { createHash } from 'node:crypto';
import type { Instance } from '@ephemera/domain';

/**
 * The name of an instance's container: the same for the same id and generation, so that a second
 * run of a start meets a taken name, not a twin. It does not tell the id. Docker answers every
 * container of a network which name belongs to an address (a reverse lookup at 127.0.0.11), and
 * who knows an id may enter its instance.
 */
export function containerName(
  namespace: string,
  { id, generation }: Pick<Instance, 'id' | 'generation'>,
): string {
  return `${namespace}-${createHash('sha256').update(id).digest('hex').slice(0, 24)}-${generation}`;
}
