export interface UpOptions {
  /** Leave the instances running at the end; their kill jobs stay in the queue. */
  readonly keep: boolean;
  readonly proxies: number;
  readonly workers: number;
}
