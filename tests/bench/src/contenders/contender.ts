import type { Instance } from '../instances.ts';
import type { Process } from '../processes.ts';

/** A proxy that is up, on one core, with routes to the instances. */
export interface Running {
  readonly port: number;
  readonly process: Process;
}

/** What contenders find when they start. */
export interface Testbed {
  /** Folder for configuration files, the bench's own. */
  readonly dir: string;
  readonly instances: readonly Instance[];
  readonly redisUrl: string;
}

/** A way to proxy, tuned as whoever runs it best would tune it. */
export interface Contender {
  readonly name: string;
  readonly start: (testbed: Testbed) => Promise<Running>;
}
