import { IDLE_SLACK, RENEWAL_TOLERANCE_MS } from '@ephemera/domain';

/** How long a host counts as alive after its last heartbeat, milliseconds. */
export const HOST_ALIVE_TIMEOUT_MS = 15_000;

/** How often a worker checks whether Redis has lost its data, milliseconds. */
export const DATASET_CHECK_INTERVAL_MS = 2_000;
/**
 * How long after the creation of a data set every living host has registered in it: a check of its
 * worker, and the time for a reconnection.
 */
export const DATASET_SETTLE_MS = 5_000;
/** How long unknown ids wait for the report of a host at most. */
export const DATASET_REPORT_TIMEOUT_MS = 30_000;

/** How long the tombstone of a dead instance is kept by default, milliseconds. */
export const TOMBSTONE = 3_600_000;

/**
 * Constants of the Lua scripts. `loadScript` writes each as a `local` in front of the prelude, so
 * that no script repeats a number that TypeScript also uses. Durations are milliseconds.
 */
export const SCRIPT_CONSTANTS = {
  HOST_ALIVE_TIMEOUT_MS,
  DATASET_REPORT_TIMEOUT_MS,
  /** Added to the idle timeout, because proxies report use with a delay. */
  IDLE_SLACK_MS: IDLE_SLACK,
  RENEWAL_TOLERANCE_MS,
  /** How long an answer is stored under its idempotency key. */
  IDEMPOTENCY_TTL_MS: 24 * 3_600_000,
  /**
   * How long the result of a claim and the withdrawal of a call are stored: longer than a client that
   * lost its connection repeats or withdraws it.
   */
  ATTEMPT_TTL_MS: 120_000,
  /** How long a pool starts nothing after a failed start. */
  POOL_BACKOFF_MS: 30_000,
  /** How many stable names a deployment has, and one token. */
  MAX_NAMES: 10_000,
  MAX_NAMES_PER_OWNER: 1_000,
  /** After this many crashes in a row, visits do not start a name any more. */
  MAX_NAME_CRASHES: 5,
  /** An instance of a name that ends later than this after it was ready has not crashed. */
  NAME_STABLE_MS: 600_000,
  /** The `expiring` event precedes the deadline by at most this, unless the template says otherwise. */
  EXPIRY_NOTICE_MAX_MS: 60_000,
  /**
   * How many events the stream keeps, approximately: an hour at ten events per second and more. With
   * at most 512 bytes each, the stream stays below 32 MiB.
   */
  MAX_EVENTS: 50_000,
  /** The longest message and the longest metadata that an event contains itself, bytes. */
  MAX_EVENT_TEXT_BYTES: 128,
  /** Stands in an event for a text that readers take from the instance. */
  EVENT_REFERENCE: '*',
} as const satisfies Readonly<Record<string, number | string>>;
