import type { Instance } from '../instances.ts';
import type { Process } from '../processes.ts';

/** A running proxy on one core, with routes to the instances. */
export interface Running {
  readonly port: number;
  readonly process: Process;
}

/** Inputs of a contender at its start. */
export interface Testbed {
  /** Folder for configuration files, removed at the end. */
  readonly dir: string;
  readonly instances: readonly Instance[];
  readonly redisUrl: string;
}

/** A proxy with a configuration tuned for this workload. */
export interface Contender {
  readonly name: string;
  readonly start: (testbed: Testbed) => Promise<Running>;
}
