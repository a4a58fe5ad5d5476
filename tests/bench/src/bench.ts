import type { Instance } from './instances.ts';

/** What the scenarios share. */
export interface Bench {
  /** Folder for configuration files, removed at the end. */
  readonly dir: string;
  readonly redisUrl: string;
  /** 200 of them, all answering. */
  readonly instances: readonly Instance[];
  /** Where they give larger answers, by name. */
  readonly largePorts: Readonly<Record<string, number>>;
  readonly rounds: number;
  /** Length of a round. */
  readonly seconds: number;
  /** No round begins after it, on the monotonic clock, ms. */
  readonly until: number;
  say(line: string): void;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly run: (bench: Bench) => Promise<Outcome>;
}

/** What a scenario found. */
export interface Outcome {
  /** Columns, in their order. */
  readonly figures: readonly string[];
  readonly rows: readonly Row[];
  readonly ratios: readonly Ratio[];
  readonly notes: readonly string[];
}

export interface Row {
  readonly name: string;
  readonly figures: Readonly<Record<string, Spread>>;
}

/** What the rounds came to. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

/** A figure of Ephemera as a multiple of another's: of the medians, and the range over rounds. */
export interface Ratio {
  readonly figure: string;
  readonly against: string;
  readonly ratio: number;
  readonly lowest: number;
  readonly highest: number;
  readonly reach: string | undefined;
  readonly isReached: boolean | undefined;
}
