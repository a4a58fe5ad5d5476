import type { Instance } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** Sets the message of each queued instance to its present position in the queue. */
export async function withQueuePositions(
  redis: Redis,
  keys: Keys,
  instances: readonly Instance[],
): Promise<Instance[]> {
  const waiting = instances.filter(({ queued }) => queued);
  if (waiting.length === 0) return [...instances];
  const pipeline = redis.pipeline();
  for (const { id, template } of waiting) {
    const queue = keys.templateQueue(template.name);
    pipeline.zrank(queue, id).zcard(queue);
  }
  const replies = (await pipeline.exec()) ?? [];
  const changed = new Map<string, Instance>();
  for (const [i, instance] of waiting.entries()) {
    const [rank, length] = [replies[2 * i]?.[1], replies[2 * i + 1]?.[1]];
    // The instance has left the queue since it was read.
    if (typeof rank !== 'number') continue;
    const message = `queued at position ${rank + 1} of ${String(length)}`;
    changed.set(instance.id, { ...instance, message });
  }
  return instances.map((instance) => changed.get(instance.id) ?? instance);
}
