import type { Instance } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** Says of each instance that waits in a queue which place it has there now. */
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
  const reported = new Map<string, Instance>();
  for (const [i, instance] of waiting.entries()) {
    const [rank, length] = [replies[2 * i]?.[1], replies[2 * i + 1]?.[1]];
    // Let in a moment ago: the next look shows it as any other.
    if (typeof rank !== 'number') continue;
    const message = `queued at position ${rank + 1} of ${String(length)}`;
    reported.set(instance.id, { ...instance, message });
  }
  return instances.map((instance) => reported.get(instance.id) ?? instance);
}
