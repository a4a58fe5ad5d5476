/**
 * The periods and limits of the use cases that depend on each other or on those of other modules.
 * Names that end in `_MS` are milliseconds; all others are counts. `limits.test.ts` of the worker
 * asserts how they relate.
 */

// --- Starts -------------------------------------------------------------------------------------

/** Interval between inspections of a container that starts slowly. */
export const START_POLL_INTERVAL_MS = 500;
/**
 * A start gives up this long before its deadline, so that it can read the log and report the reason
 * before the kill job ends the instance. The margin covers a daemon under load.
 */
export const FINAL_CHECK_MS = 2_000;
/** Time after which a pending instance is assumed to have no spawn job. */
export const SPAWN_JOB_GRACE_MS = 5_000;

// --- Reconciliation -----------------------------------------------------------------------------

/** Maximum number of concurrent repairs. */
export const REPAIR_CONCURRENCY = 8;
/** Maximum time that a repair delays later ones. It may hang, or wait for a stop grace. */
export const REPAIR_TIMEOUT_MS = 2_000;
/** Maximum number of repairs in progress, including those of earlier runs. */
export const MAX_REPAIRS_IN_FLIGHT = 64;

/** An unchanged instance is read again in every so many reconciliations. */
export const FULL_READ_RUNS = 10;

// --- Dead hosts ---------------------------------------------------------------------------------

/** A host without a heartbeat for this long is dead. */
export const HOST_DEAD_AFTER_MS = 60_000;
/** How long after its deadline an instance of a dead host is finalized. */
export const DEAD_HOST_GRACE_MS = 30_000;
