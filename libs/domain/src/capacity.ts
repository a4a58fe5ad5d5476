/** What there is too little of: a host's room, a template's, a client's share, or the queue's. */
export type Limit = 'hosts' | 'template' | 'queue' | 'address' | 'token';

/** What a host can hold; undefined where it does not bound it. */
export interface Capacity {
  readonly instances?: number | undefined;
  /** Bytes. */
  readonly memory?: number | undefined;
  /** CPUs, fractions allowed. */
  readonly cpus?: number | undefined;
}
