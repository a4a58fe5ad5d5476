/** The steps of a start, in order. `pulling` occurs only if the host does not have the image. */
export type Step = 'creating' | 'pulling' | 'starting' | 'probing';

/** Progress of a start, as shown to clients. */
export interface StartStep {
  readonly step: Step;
  /** Completed part of the step, 0 to 1. Undefined if unknown. */
  readonly done?: number | undefined;
  /** For people. */
  readonly message: string;
}
