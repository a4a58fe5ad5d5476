/** What a scenario was asked for on the command line. */
export interface Options {
  /** The same seed makes the same choices. */
  readonly seed: number;
  /** How many runs a step; each scenario has its own full measure. */
  readonly runs: number | undefined;
  /** The steps to strike at; all where empty. */
  readonly steps: readonly string[];
  /** Guards that the processes do without. */
  readonly without: readonly string[];
}
