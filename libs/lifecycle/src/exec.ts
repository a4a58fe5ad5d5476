import type { EndReason, ExecPermission } from '@ephemera/domain';

/** A command to run in the container of an instance. */
export interface ExecRequest {
  /** The program and its arguments. No shell is involved. */
  readonly cmd: readonly string[];
  /** Absolute path. Undefined: the working directory of the container. */
  readonly cwd?: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** `user` or `user:group`. Undefined: the user of the container. */
  readonly user?: string | undefined;
  /** Milliseconds until the command is killed. Undefined: only the lease ends it. */
  readonly timeout?: number | undefined;
  /** First bytes of the standard input, base64. */
  readonly stdin: string;
  /** Whether the standard input stays open for `ExecInput`. */
  readonly keepStdin: boolean;
  readonly tty: boolean;
}

/** More bytes for the standard input of a running command. */
export interface ExecInput {
  /** Base64. */
  readonly data: string;
  /** Whether the standard input ends after them. */
  readonly end: boolean;
}

/** Why a command was killed. `EndReason`: its instance has ended. */
export type ExecKillReason = 'timeout' | 'request' | 'worker_stopped' | EndReason;

/** How a command runs, or how it ended. */
export type ExecState =
  | { readonly state: 'running' }
  /** It exited by itself. The code is that of Docker: 128 and the number of a signal. */
  | { readonly state: 'exited'; readonly exitCode: number }
  | { readonly state: 'killed'; readonly reason: ExecKillReason }
  /** The worker that ran it has restarted. Its processes were killed, and its output is lost. */
  | { readonly state: 'lost' };

/** A part of the output of one stream. */
export interface ExecOutput {
  /** Position of the first byte of `data`, counted from the start of the command. */
  readonly offset: number;
  /** Base64. */
  readonly data: string;
  /** Number of bytes that the command has written so far. */
  readonly total: number;
}

/** A command with the output that is still stored. With a TTY, all output is in `stdout`. */
export type ExecStatus = ExecState & {
  readonly execId: string;
  readonly stdout: ExecOutput;
  readonly stderr: ExecOutput;
};

/** Positions in the output from which it is returned, bytes. */
export interface ExecOffsets {
  readonly stdout: number;
  readonly stderr: number;
}

/** Why a worker refused an operation on a command. */
export type ExecRefusal =
  /** The template of the instance does not allow commands. */
  | 'off'
  /** It is not ready, or is not claimed. */
  | 'not_ready'
  | 'paused'
  /** It has ended, or has another generation or no container. */
  | 'gone'
  /** Too many commands run in this instance or on this host. */
  | 'full'
  /** There is no such command. */
  | 'unknown'
  /** The command has ended, or its standard input is closed. */
  | 'ended'
  /** It has no TTY. */
  | 'no_tty'
  /** Docker refuses the working directory, the user or another option. `detail` says why. */
  | 'invalid'
  /** Too many bytes wait for the command to read its standard input. */
  | 'busy'
  /** The worker is stopping. Another one may do it. */
  | 'stopping'
  /** The worker could not end a command on this host. `detail` says why. */
  | 'unsupported';

export type ExecResult<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'refused'; readonly why: ExecRefusal; readonly detail?: string | undefined };

/** What a template allows. A template of an earlier version has no field. */
export function execPermissionOf(template: {
  readonly exec?: ExecPermission | undefined;
}): ExecPermission {
  return template.exec ?? 'off';
}
