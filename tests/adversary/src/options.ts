/** What a suite was asked for on the command line. */
export interface Options {
  /** How many answers, cases, connections or restarts; each suite has its own full measure. */
  readonly count?: string | undefined;
  readonly seed?: string | undefined;
  /** When a churn ends, however many answers there were. */
  readonly minutes?: string | undefined;
  /** The one case to run again. */
  readonly case?: string | undefined;
  /** The first case of the fuzzer, and whose bytes: `client` or `container`. */
  readonly from?: string | undefined;
  readonly side?: string | undefined;
}
