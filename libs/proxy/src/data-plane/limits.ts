/**
 * The numeric limits of the data plane. Names that end in `_MS` are milliseconds, names that end in
 * `_BYTES` are bytes; all others are counts. `limits.test.ts` asserts how they relate.
 */

// --- Client connections -------------------------------------------------------------------------

/** A request head that takes longer is answered with 408. */
export const HEADERS_TIMEOUT_MS = 15_000;
/** How often node:http looks for overdue request heads. Its own default is 30 s. */
export const HEADERS_CHECK_INTERVAL_MS = 500;
/** How long an idle client connection is kept. Longer than load balancers keep theirs (60 s). */
export const CLIENT_KEEP_ALIVE_MS = 75_000;
/** A client that accepts no byte of its response for this long is disconnected. */
export const CLIENT_TIMEOUT_MS = 60_000;
/** Client connections of one replica, however many descriptors it has: each needs about 20 KB. */
export const MAX_CLIENT_CONNECTIONS = 50_000;
/** Client connections of one IPv4 address or IPv6 /64. */
export const CONNECTIONS_PER_ADDRESS = 2_000;
/** Connections to the admin port of one replica, however many descriptors it has. */
export const MAX_ADMIN_CONNECTIONS = 2_000;
/** Descriptors that client connections and their upstream connections leave free. */
export const RESERVED_DESCRIPTORS = 512;
/** Refused connections are logged once per this interval. */
export const REFUSAL_LOG_INTERVAL_MS = 10_000;
/** Open WebSockets of one instance in one replica. */
export const WEBSOCKETS_PER_INSTANCE = 1_000;
/** How many requests may wait on one connection behind the one that is being answered. */
export const MAX_PIPELINED_REQUESTS = 100;

// --- Request heads ------------------------------------------------------------------------------

/** All header bytes of a request, with its target; node:http answers 431 beyond it. A setting. */
export const MAX_REQUEST_HEAD_BYTES = 32 * 1024;
/** Header lines of a request; 431 beyond it. A setting. */
export const MAX_REQUEST_FIELDS = 200;
/** Digits of a Content-Length. Servers differ in the integers that they can hold beyond it. */
export const MAX_LENGTH_DIGITS = 15;
/** How many spellings of field names the classifiers remember; clients choose the spellings. */
export const MAX_REMEMBERED_FIELD_NAMES = 2_000;
/** Longer field names are classified each time. */
export const MAX_REMEMBERED_NAME_LENGTH = 64;

// --- Uploads ------------------------------------------------------------------------------------

/** Chunks that are forwarded per event-loop tick. One costs about 25 µs, most of it in the kernel. */
export const CHUNKS_PER_TICK = 8;
/** A backlog is forwarded within this many ticks, so that it cannot grow without bound. */
export const MAX_TICKS_TO_DRAIN = 64;
/** Chunks of at least this size bypass the scheduler: their size is worth their cost. */
export const UNSCHEDULED_CHUNK_BYTES = 16 * 1024;
/** After this wait the proxy sends `100 Continue` itself; many servers never send it. */
export const CONTINUE_TIMEOUT_MS = 1_000;

// --- Routes -------------------------------------------------------------------------------------

/** How long a request waits for an instance that is starting. */
export const START_WAIT_MS = 30_000;
/** How many routes may be superseded while a request connects before the request fails. */
export const MAX_SUPERSEDED_ROUTES = 3;

// --- Upstream connections -----------------------------------------------------------------------

/**
 * How long an upstream connection may take to open. TCP repeats a lost SYN after
 * `SYN_RETRANSMIT_MS`, so one lost packet does not fail a request.
 */
export const CONNECT_TIMEOUT_MS = 1_200;
/** Initial retransmission timeout of TCP (RFC 6298 section 2). */
export const SYN_RETRANSMIT_MS = 1_000;
/** How long an instance may send nothing before its response head is complete; 504 beyond it. */
export const RESPONSE_TIMEOUT_MS = 60_000;
/** How long an idle upstream connection is kept: shorter than the instances keep it. */
export const UPSTREAM_IDLE_TIMEOUT_MS = 4_000;
/** How long the servers of common frameworks keep an idle connection (node:http: 5 s). */
export const COMMON_KEEP_ALIVE_MS = 5_000;
/** An idle connection is closed this long before the `Keep-Alive: timeout` of the instance ends. */
export const IDLE_MARGIN_MS = 1_000;
/** How often the pools look for idle and silent connections; also the precision of their clock. */
export const POOL_SWEEP_INTERVAL_MS = 250;
/** The route of an open pool is read again at least this often: a renewal may shorten its lease. */
export const ROUTE_RECHECK_MS = 5_000;
/** Idle time after which TCP keep-alive probes each side of an open tunnel. */
export const TUNNEL_PROBE_AFTER_MS = 30_000;
/** Bytes of one read of an upstream socket: as many as libuv reads at once. */
export const READ_BUFFER_BYTES = 64 * 1024;

// --- Responses ----------------------------------------------------------------------------------

/** Bytes of a response head, or of a trailer section; 502 beyond it. A setting. */
export const MAX_RESPONSE_HEAD_BYTES = 64 * 1024;
/** Informational responses (1xx) of one request: how many per second an instance may send. */
export const INFORMATIONAL_PER_SECOND = 10;
/** How many of them may come at once. */
export const INFORMATIONAL_BURST = 50;
/** Bytes of all informational responses of one request. */
export const MAX_INFORMATIONAL_BYTES = 1_048_576;
/** Hex digits of a chunk size: 13 digits are 52 bits, which a number holds exactly. */
export const MAX_CHUNK_SIZE_DIGITS = 13;
/** Bytes of the extensions of one chunk. */
export const MAX_CHUNK_EXTENSION_BYTES = 1_024;
/** Bodies up to this size are sent as text, in one write with the head. */
export const MAX_TEXT_BODY_BYTES = 8 * 1024;

// --- Shutdown -----------------------------------------------------------------------------------

/** How often a drain checks whether all requests and tunnels have ended. */
export const DRAIN_POLL_MS = 20;
