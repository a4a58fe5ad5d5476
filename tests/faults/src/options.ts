/** What the command line says. */
export interface Options {
  /** The same seed makes the same choices. */
  readonly seed: number;
  /** Runs per step; each scenario has its own default. */
  readonly runs: number | undefined;
  /** The steps that faults are injected at; all where empty. */
  readonly steps: readonly string[];
  /** Guards that are removed from the processes. */
  readonly without: readonly string[];
}
