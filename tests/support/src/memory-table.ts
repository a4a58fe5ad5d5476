import type { Instance, State } from '@ephemera/domain';

/** The operations that the parts of the store share. */
export interface MemoryTable {
  readonly now: () => number;
  find(id: string): Instance | undefined;
  all(): Instance[];
  put(instance: Instance): Instance;
  move(from: Instance, state: State, change: Partial<Instance>): Instance;
  nextGeneration(): number;
}
