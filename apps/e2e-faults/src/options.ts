/** What a scenario was asked for on the command line. */
export interface Options {
  /** The same seed makes the same choices. */
  readonly seed: number;
  /** How many runs a step; each scenario has its own full measure. */
  readonly runs: number | undefined;
  /** The one step to strike at. */
  readonly step: string | undefined;
  /** Guards that the processes do without. */
  readonly without: readonly string[];
}
