export interface UpOptions {
  /** Leave the instances to their kill jobs at the end. */
  readonly keep: boolean;
  readonly proxies: number;
  readonly workers: number;
}
