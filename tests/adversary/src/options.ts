/** The options of the command line. */
export interface Options {
  /** Responses, cases, connections, restarts or seconds; each suite has its own default. */
  readonly count?: number | undefined;
  readonly seed: number;
  /** Time limit of a churn, however many responses there were. */
  readonly minutes: number;
  /** The only case to run: of `fuzz` its number, of `slow` and `hogs` its name. */
  readonly case?: string | undefined;
  /** The first case of the fuzzer. */
  readonly from: number;
  /** The only side whose bytes the fuzzer changes. */
  readonly side?: string | undefined;
}
