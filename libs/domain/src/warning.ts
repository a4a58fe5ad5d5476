export const WARNING_KINDS = ['upstream_failure', 'missing_base_path'] as const;

/** What the proxies noticed about a running instance, for its owner and the operator. */
export interface InstanceWarning {
  /**
   * `upstream_failure`: a request failed in the instance. `missing_base_path`: its pages ask for
   * paths at the root of the shared origin.
   */
  readonly kind: (typeof WARNING_KINDS)[number];
  /** What happened, what was expected, and what to do. */
  readonly detail: string;
  /** When it was noticed last, epoch milliseconds of the store's clock. */
  readonly at: number;
}
