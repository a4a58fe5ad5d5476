/**
 * The intervals and timeouts of the worker that depend on each other, in milliseconds, and its
 * concurrency limits. `limits.test.ts` asserts how they relate, to those of the store, the use cases
 * and the queues too.
 */

// --- Periodic work ------------------------------------------------------------------------------

export const RECONCILE_INTERVAL_MS = 10_000;
/** One host at most in this interval repairs the instances that no host has started. */
export const UNASSIGNED_INTERVAL_MS = RECONCILE_INTERVAL_MS / 2;
/** A worker that dies during a reconciliation delays the next one by at most this. */
export const RECONCILER_LOCK_MS = 30_000;
export const HEARTBEAT_INTERVAL_MS = 5_000;
/** How often an unchanged capacity is written, which repairs the index of hosts by free capacity. */
export const CAPACITY_INTERVAL_MS = 30_000;
/** The longest delay before a host tries again to restore the instances that Redis has lost. */
export const MAX_RESTORE_DELAY_MS = 60_000;
/** Freed capacity is used immediately. These two intervals only cover missed events. */
export const DEQUEUE_INTERVAL_MS = 2_000;
/** How often a worker checks how far the log of events reaches back. */
export const EVENT_LOG_CHECK_INTERVAL_MS = 60_000;
/** How far the log of events should reach back. */
export const MIN_EVENT_AGE_MS = 3_600_000;
export const EVENT_LOG_WARNING_INTERVAL_MS = 3_600_000;
/** How often a worker reads whether its host is being drained. */
export const DRAIN_INTERVAL_MS = 4_000;
export const REFILL_INTERVAL_MS = 5_000;
/** How often the job scheduler of the refills is written, because Redis may lose it. */
export const SCHEDULE_REFILL_INTERVAL_MS = 60_000;
export const EXPIRE_DEAD_HOSTS_INTERVAL_MS = 30_000;
export const EXPIRING_INTERVAL_MS = 1_000;

// --- Docker daemon ------------------------------------------------------------------------------

/** Timeout of each ping for `/readyz`, and of the store during a scrape. */
export const CHECK_TIMEOUT_MS = 2_000;
/** Timeout of one inspection during a list, and of all inspections of a list. */
export const INSPECT_TIMEOUT_MS = 3_000;
export const LIST_TIMEOUT_MS = 9_000;
/** Default timeout of a call to the daemon. */
export const DEFAULT_TIMEOUT_MS = 15_000;
/** Timeout of a start or a removal. */
export const START_TIMEOUT_MS = 60_000;
/** Interval at which a pull reports, and the least by which a report extends the start deadline. */
export const PULL_REPORT_INTERVAL_MS = 1_000;
export const PULL_EXTENSION_MS = 15_000;
/** Time without progress after which a pull counts as stalled. */
export const PULL_STALL_MS = 30_000;
/** Timeout of the request for the digest of an image: a start waits for it. */
export const DIGEST_TIMEOUT_MS = 5_000;
/** Pause before a failed pull is repeated. It doubles with each attempt. */
export const PULL_RETRY_MS = 1_000;
/** Timeout of a helper container, and the age at which one counts as abandoned. */
export const HELPER_TIMEOUT_MS = 60_000;
export const HELPER_ABANDONED_AFTER_MS = 180_000;

// --- Jobs ---------------------------------------------------------------------------------------

/**
 * Maximum number of concurrent starts. Most of them wait for an image or a probe. `startLimit`
 * limits the calls to the daemon.
 */
export const SPAWN_CONCURRENCY = 100;
export const KILL_CONCURRENCY = 2_000;
/** Maximum number of exits handled concurrently. All containers may exit at once. */
export const EXIT_CONCURRENCY = 32;
/** Maximum number of concurrent inspections of a list. */
export const INSPECT_CONCURRENCY = 32;
/** Delay of a job for which this host has no capacity, so that another host can take it. */
export const NO_CAPACITY_DELAY_MS = 100;
/** Delay of a job that is assigned to another host, so that a worker there can take it. */
export const OTHER_HOST_DELAY_MS = 1_000;
/** Time that running jobs have to finish when their worker stops. */
export const FINISH_TIMEOUT_MS = 10_000;

// --- Webhooks -----------------------------------------------------------------------------------

/** Timeout of a delivery. */
export const DELIVERY_TIMEOUT_MS = 10_000;
/** How long to wait for the next event before checking for abandoned ones. */
export const READ_TIMEOUT_MS = 5_000;
/** Age at which an event that another worker has read, but not queued, counts as abandoned. */
export const ABANDONED_AFTER_MS = 15_000;
/** Idle time after which a reader counts as dead, and the interval of this check. */
export const READER_TIMEOUT_MS = 60_000;
