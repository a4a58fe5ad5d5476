import type { Suite } from './debian-system.ts';

/** What is tested with each combination: test files of a project. */
export const PARTS = {
  main: { project: 'tests/e2e', files: ['one-instance', 'lease', 'warm-pool', 'pause'] },
  firewall: { project: 'libs/worker', files: ['firewall', 'firewall-reassert', 'escape'] },
  faults: { project: 'tests/faults', files: ['faults'] },
  compose: { project: 'tests/compose', files: ['compose'] },
} as const satisfies Record<string, { project: string; files: readonly string[] }>;

export type Part = keyof typeof PARTS;

/** What the program inside the sandbox gets as JSON. */
export interface Task {
  readonly parts: readonly Part[];
  readonly folder: string;
  readonly controlGroup: string;
  /** The folder of the logs, and the begin of their names. */
  readonly logs: string;
}

/** A line of its output. */
export type Finding =
  | {
      readonly kind: 'versions';
      readonly docker: string;
      readonly compose: string;
      readonly store: string;
    }
  | {
      readonly kind: 'part';
      readonly part: Part;
      readonly passed: number;
      /** The first test that failed; undefined if none did. */
      readonly failed: string | undefined;
      readonly tookMs: number;
      readonly log: string;
    };

/** The stores: the suite of the package, and its program. */
export const STORES = {
  'redis-bookworm': ['bookworm', 'redis-server'],
  'redis-trixie': ['trixie', 'redis-server'],
  'valkey-trixie': ['trixie', 'valkey-server'],
  'valkey-sid': ['sid', 'valkey-server'],
} as const satisfies Record<string, readonly [Suite, 'redis-server' | 'valkey-server']>;
