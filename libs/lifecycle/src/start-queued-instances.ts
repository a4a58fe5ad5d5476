import type { Spawns } from './create.ts';
import type { StartQueue } from './intake.ts';

/**
 * Lets in those who wait, first come first served in each template, as far as there is room now.
 * Gives their ids. Where a spawn job cannot be added, the instance ends at its start deadline.
 */
export async function startQueuedInstances(ports: {
  startQueue: StartQueue;
  spawns: Spawns;
}): Promise<string[]> {
  const { startQueue, spawns } = ports;
  const started: string[] = [];
  for (const template of await startQueue.templates()) {
    for (
      let next = await startQueue.dequeue(template);
      next;
      next = await startQueue.dequeue(template)
    ) {
      await spawns.add(next);
      started.push(next.id);
    }
  }
  return started;
}
