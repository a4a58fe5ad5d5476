/**
 * The periods and limits of the proxy outside the data plane that depend on each other. Names that
 * end in `_MS` are milliseconds. `limits.test.ts` asserts how they relate, to those of the data plane
 * too.
 */

// --- Starts -------------------------------------------------------------------------------------

/**
 * How long a warm instance may take to accept a connection. A live one on the same network is
 * faster.
 */
export const CLAIM_CONNECT_TIMEOUT_MS = 250;
/** How often the proxy checks that Redis still has the pool specs. */
export const SYNC_POOLS_INTERVAL_MS = 30_000;
/** Maximum of `Prefer: wait`, seconds. */
export const MAX_WAIT_SECONDS = 300;

// --- Streams ------------------------------------------------------------------------------------

/** A step of a start is repeated after this time, so that silence means a broken connection. */
export const STEP_RESEND_INTERVAL_MS = 5_000;
/** How often the position in the queue is read. It changes without a change of the route. */
export const QUEUE_POLL_MS = 1_500;
/** Interval of heartbeats on an event stream without events. */
export const EVENT_HEARTBEAT_INTERVAL_MS = 15_000;
/** The delay before a client reconnects after it has lost its stream. */
export const EVENT_RETRY_MS = 1_000;
/** How often a stream checks that its token is still valid. Tokens are reloaded as often. */
export const TOKEN_CHECK_INTERVAL_MS = 1_000;

// --- Health and shutdown ------------------------------------------------------------------------

/** A readiness check that takes longer fails. Load balancers wait little longer. */
export const READINESS_TIMEOUT_MS = 1_000;
/** Closing the public port may take this much longer than its configured periods. */
export const CLOSE_TIMEOUT_MS = 5_000;
