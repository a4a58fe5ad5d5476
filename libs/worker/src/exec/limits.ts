/** Stored output of one stream of a command, bytes. */
export const OUTPUT_BYTES = 262_144;
/** Commands that run at once in one instance, and on one host. */
export const MAX_RUNNING_PER_INSTANCE = 16;
export const MAX_RUNNING_PER_HOST = 256;
/**
 * Requests about the commands of one instance, and of one host, that are in progress at once: they follow
 * output, or wait for an end or for input to be read. Fewer than the connections that the worker accepts
 * (`MAX_CONNECTIONS` of the host interface), so that others can still read logs and pause instances.
 */
export const MAX_CALLS_PER_INSTANCE = 64;
export const MAX_CALLS_PER_HOST = 2_048;
/** How long the output of an ended command stays readable, ms. */
export const KEPT_MS = 600_000;
/** Ended commands that stay readable per instance. The oldest ones are dropped. */
export const MAX_KEPT_PER_INSTANCE = 32;
/** Output of all ended commands together, bytes. The oldest ones are dropped. */
export const MAX_KEPT_BYTES = 67_108_864;
/** Bytes of standard input that wait for the command to read them. A single write may be longer. */
export const MAX_WAITING_INPUT_BYTES = 262_144;
/** The same for all commands of the host. */
export const MAX_HOST_INPUT_BYTES = 67_108_864;
/** How long a writer waits until the command has read its input, ms. */
export const INPUT_WAIT_MS = 10_000;
/** A reader that is this far behind the output makes the command wait, bytes. */
export const MAX_LAG_BYTES = OUTPUT_BYTES / 2;
/** Bytes that are sent to a reader at once. */
export const PART_BYTES = 49_152;
/** How often Docker is asked whether a command has exited. Its stream may never end. */
export const INSPECT_INTERVAL_MS = 1_000;
/** How long the stream of an exited command may stay silent before it is closed, ms. */
export const LAST_OUTPUT_MS = 500;
/** How long readers have for the last output after the exit, ms. They get what is stored later too. */
export const LAST_OUTPUT_LIMIT_MS = 30_000;
/** How long, and how often, a kill is repeated for a command that Docker reports as running. */
export const KILL_TIMEOUT_MS = 5_000;
export const KILL_PAUSE_MS = 50;
/** The longest pause before a failed kill is repeated, ms. It starts at two seconds and doubles. */
export const MAX_KILL_PAUSE_MS = 60_000;
/** How often a kill of a command that runs is repeated, over about a quarter of an hour. */
export const MAX_KILLS = 20;
/** How often the processes that an ended command has left are killed, if that fails. */
export const MAX_REST_KILLS = 5;
/** How long the end of the instance is awaited that explains the death of a command, ms. */
export const END_REASON_MS = 5_000;
