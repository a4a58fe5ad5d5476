import type { Spawns } from './create.ts';
import type { Line } from './intake.ts';

/**
 * Lets in those who wait, first come first served in each template, as far as there is room now.
 * Gives their ids. Where a spawn job cannot be added, the instance ends at its start deadline.
 */
export async function admit(ports: { line: Line; spawns: Spawns }): Promise<string[]> {
  const { line, spawns } = ports;
  const admitted: string[] = [];
  for (const template of await line.templates()) {
    for (let next = await line.admit(template); next; next = await line.admit(template)) {
      await spawns.add(next);
      admitted.push(next.id);
    }
  }
  return admitted;
}
