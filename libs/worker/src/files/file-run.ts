import { FILE_CHANGE_MS, FILE_STALL_MS } from '@ephemera/lifecycle';
import type { ExecResult, ExecState, FileRefusal, FileResult } from '@ephemera/lifecycle';
import { FILES_HELPER } from '../docker/files-helper.ts';
import type { HostCall } from '../host-interface/admit-request.ts';
import type { Command } from '../exec/command.ts';
import type { ExecEngine } from '../exec/exec-engine.ts';
import { FILE_EXITS } from './file-scripts.ts';

/** Times of file operations, ms. */
export interface FileLimits {
  /** A transfer in which no byte moves for so long is ended. Docker reads a pipe without end. */
  readonly stall: number;
  /** A change without a transfer is ended after so long: a removal, or a move. */
  readonly change: number;
  /** What a script has to remove its temporary files, before it is killed. */
  readonly grace: number;
}
export const FILE_LIMITS: FileLimits = {
  stall: FILE_STALL_MS,
  change: FILE_CHANGE_MS,
  grace: 5_000,
};
/** Bytes of error messages that are kept. */
const MAX_ERROR_BYTES = 4_096;
/** Characters of an error that a client sees. */
const MAX_DETAIL = 300;

export type Refused = Extract<FileResult<never>, { readonly kind: 'refused' }>;

/** One run of a script in a container. */
export interface FileRun {
  readonly command: Command;
  /**
   * Its output as it arrives, with back-pressure. To be iterated once. Iteration that stops early, or
   * a signal that aborts, kills the script.
   */
  readonly output: AsyncGenerator<Buffer, void>;
  /** Aborts when a limit of the time has passed, and when the output has ended. */
  readonly ended: AbortSignal;
  /** After the output: why it failed. Undefined: it has succeeded. */
  refusal(): Refused | undefined;
  /** Bytes have moved. */
  readonly progress: () => void;
}

/** A script of a file operation. */
export interface FileScript {
  readonly cmd: readonly string[];
  /**
   * `read`: it changes nothing, and is killed with its transfer. `write`: at the end of its input it
   * removes what is not complete. `change`: it has no transfer, and removes that on SIGTERM.
   */
  readonly kind: 'read' | 'write' | 'change';
}

/** Starts a script. `signal` ends one that reads; others decide what becomes of a broken transfer. */
export async function startRun(
  engine: Pick<ExecEngine, 'startFiles'>,
  call: Pick<HostCall, 'id' | 'generation' | 'signal'>,
  { cmd, kind }: FileScript,
  limits = FILE_LIMITS,
): Promise<FileRun | Refused> {
  const started: ExecResult<Command> = await engine.startFiles(
    call,
    cmd,
    kind === 'read' ? undefined : 'files',
  );
  if (started.kind === 'refused') {
    // What a client sends is in the arguments, which Docker does not check.
    return started.why === 'invalid' ? notStarted(started.detail ?? '') : started;
  }
  const command = started.value;
  let state: ExecState = command.state;
  let errors = '';
  let begin = '';
  let isOverdue = false;
  const ended = new AbortController();
  /** Aborts when the end of the script is no longer awaited: its instance may be paused. */
  const left = new AbortController();
  const limit = kind === 'change' ? limits.change : limits.stall;
  let timer = setTimeout(end, limit);
  const signal =
    kind === 'read' ? AbortSignal.any([call.signal, ended.signal, left.signal]) : left.signal;

  function end(): void {
    isOverdue = true;
    ended.abort();
    command.endInput();
    if (kind === 'change') void command.signal('TERM').catch(() => undefined);
    timer = setTimeout(() => {
      void command.kill('timeout').catch(() => undefined);
      timer = setTimeout(() => left.abort(), limits.grace);
    }, limits.grace);
  }

  const progress = (): void => {
    if (kind !== 'change' && !isOverdue) timer.refresh();
  };

  async function* read(): AsyncGenerator<Buffer, void> {
    try {
      for await (const part of command.read({ stdout: 0, stderr: 0 }, signal)) {
        progress();
        if (part.kind === 'stdout') {
          if (begin === '') begin = part.data.toString('latin1', 0, MAX_DETAIL);
          yield part.data;
        } else if (part.kind === 'end') state = part.state;
        else if (errors.length < MAX_ERROR_BYTES) errors += part.data.toString();
      }
    } finally {
      clearTimeout(timer);
      ended.abort();
      if (command.isRunning) void command.kill('request').catch(() => undefined);
    }
  }
  return {
    ...{ command, progress },
    output: read(),
    ended: ended.signal,
    refusal() {
      if (!isOverdue) return refusalOf(state, errors, begin);
      const seconds = limit / 1_000;
      const detail =
        kind === 'change'
          ? `the operation has not ended within ${seconds} seconds, and is done in part`
          : `no byte has moved for ${seconds} seconds`;
      return refused('failed', detail);
    },
  };
}

function refusalOf(state: ExecState, errors: string, begin: string): Refused | undefined {
  if (state.state === 'exited') {
    const { exitCode } = state;
    if (exitCode === 0) return undefined;
    if (exitCode === 126 || exitCode === 127) return notStarted(errors || begin);
    const known = FILE_EXITS[exitCode as keyof typeof FILE_EXITS] as FileRefusal | undefined;
    return known === undefined ? refused('failed', detailOf(errors)) : refused(known, errors);
  }
  if (state.state !== 'killed') return refused('failed', 'the operation was ended');
  if (state.reason === 'worker_stopped') return refused('stopping');
  // Also the memory limit of the instance kills it.
  return refused(state.reason === 'request' ? 'failed' : 'gone', 'the operation was ended');
}

/** @param why the message of Docker, or of the shell */
function notStarted(why: string): Refused {
  return why.includes(FILES_HELPER) ? refused('no_helper') : refused('failed', detailOf(why));
}

/** The message of the program, without its name and without control characters. */
function detailOf(errors: string): string {
  const [line = ''] = errors.trim().split('\n').slice(-1);
  const text = line
    .replace(/^(?:ephemera: line \d+|[a-z]+): /, '')
    .replace(/[\p{Cc}\p{Cf}]/gu, '?');
  return text.slice(0, MAX_DETAIL) || 'the program was ended';
}

function refused(why: FileRefusal, detail?: string): Refused {
  return { kind: 'refused', why, detail };
}
