import { createHash } from 'node:crypto';
import type { Instance } from '@ephemera/domain';

/**
 * The container name of one generation of an instance. It is deterministic, so a second run of a
 * start gets a 409 instead of a second container. The id is hashed: Docker's DNS resolves every
 * address of a network to a container name, and knowledge of an id may give access to an instance.
 */
export function containerName(
  namespace: string,
  { id, generation }: Pick<Instance, 'id' | 'generation'>,
): string {
  return `${namespace}-${createHash('sha256').update(id).digest('hex').slice(0, 24)}-${generation}`;
}
