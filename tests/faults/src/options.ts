/** Options of the command line. */
export interface Options {
  /** Runs with the same seed make the same random choices. */
  readonly seed: number;
  /** Runs per step; each scenario has its own default. */
  readonly runs: number | undefined;
  /** Steps at which faults are injected. An empty list means all steps. */
  readonly steps: readonly string[];
  /** Guards to remove from the processes. */
  readonly without: readonly string[];
}
