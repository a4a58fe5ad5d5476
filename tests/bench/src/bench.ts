import type { Instance } from './instances.ts';

/** Shared inputs of the scenarios. */
export interface Bench {
  /** Folder for configuration files, removed at the end. */
  readonly dir: string;
  readonly redisUrl: string;
  /** 200 instances that all respond. */
  readonly instances: readonly Instance[];
  /** Ports with larger responses, by name. */
  readonly largePorts: Readonly<Record<string, number>>;
  readonly rounds: number;
  /** Duration of a measurement, seconds. */
  readonly seconds: number;
  /** No round starts after this time on the monotonic clock, ms. */
  readonly until: number;
  say(line: string): void;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly run: (bench: Bench) => Promise<Outcome>;
}

/** Result of a scenario. */
export interface Outcome {
  /** Columns in order. */
  readonly figures: readonly string[];
  readonly rows: readonly Row[];
  readonly ratios: readonly Ratio[];
  readonly notes: readonly string[];
}

export interface Row {
  readonly name: string;
  readonly figures: Readonly<Record<string, Spread>>;
}

/** Summary of a figure over all rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

/**
 * A figure of Ephemera divided by that of another contender: of the medians, and the range over the
 * rounds.
 */
export interface Ratio {
  readonly figure: string;
  readonly against: string;
  readonly ratio: number;
  readonly lowest: number;
  readonly highest: number;
  readonly reach: string | undefined;
  readonly isReached: boolean | undefined;
}
