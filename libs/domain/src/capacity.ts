/**
 * The limit that a start exceeds: all hosts, the template, the queue, the client address, the
 * token, or the owner that an embedding application names. `commands`: the limit of commands that run
 * in an instance or on a host. `input`: the input that commands have not read. `names`: the number of
 * stable names.
 */
export type Limit =
  'hosts' | 'template' | 'queue' | 'address' | 'token' | 'owner' | 'commands' | 'input' | 'names';

/** The id of a host, `EPHEMERA_HOST_ID`. */
export const HOST_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** The capacity of one host. An undefined field sets no limit. */
export interface Capacity {
  readonly instances?: number | undefined;
  /** Bytes. */
  readonly memory?: number | undefined;
  /** CPU cores; may be a fraction. */
  readonly cpus?: number | undefined;
}
