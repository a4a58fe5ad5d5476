/**
 * The id of a command: 26 hexadecimal digits for the worker that runs it, and 26 characters for the
 * command.
 */
export const EXEC_ID_PATTERN = /^[0-9a-f]{26}[a-z][a-z0-9]{25}$/;

/** Length of the part of a command's id that names its worker. */
export const EXEC_WORKER_LENGTH = 26;

/** Signals that a client may send to the processes of a command. */
export const EXEC_SIGNALS = ['HUP', 'INT', 'QUIT', 'KILL', 'USR1', 'USR2', 'TERM'] as const;
export type ExecSignal = (typeof EXEC_SIGNALS)[number];
