/** What a start is at, in this order; a pull only where the image is not on the host. */
export type Step = 'creating' | 'pulling' | 'starting' | 'probing';

/** A step, as whoever waits is told of it. */
export interface StartStep {
  readonly step: Step;
  /** The part of the step that is done, 0 to 1; undefined where nobody knows. */
  readonly done?: number | undefined;
  /** For people. */
  readonly message: string;
}
