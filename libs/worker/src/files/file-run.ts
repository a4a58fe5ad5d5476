import type { ExecResult, ExecState, FileRefusal, FileResult } from '@ephemera/lifecycle';
import type { HostCall } from '../host-interface/admit-request.ts';
import type { Command } from '../exec/command.ts';
import type { ExecEngine } from '../exec/exec-engine.ts';
import { FILE_EXITS } from './file-scripts.ts';

/** A transfer in which no byte moves for so long is ended, ms. Docker reads a pipe without end. */
const STALL_MS = 60_000;
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
  /** After the output: why it failed. Undefined: it has succeeded. */
  refusal(): Refused | undefined;
  /** Bytes have moved. */
  readonly progress: () => void;
}

/**
 * Starts a script.
 * @param signal undefined where the script must decide what becomes of a broken transfer
 */
export async function startRun(
  engine: Pick<ExecEngine, 'startFiles'>,
  call: Pick<HostCall, 'id' | 'generation'>,
  script: { readonly cmd: readonly string[]; readonly isChange?: boolean },
  signal: AbortSignal = new AbortController().signal,
): Promise<FileRun | Refused> {
  const event = script.isChange === true ? 'files' : undefined;
  const started: ExecResult<Command> = await engine.startFiles(call, script.cmd, event);
  if (started.kind === 'refused') {
    // What a client sends is in the arguments, which Docker does not check.
    return started.why === 'invalid' ? { kind: 'refused', why: 'no_helper' } : started;
  }
  const command = started.value;
  let state: ExecState = command.state;
  let errors = '';
  const stalled = setTimeout(() => void command.kill('timeout').catch(() => undefined), STALL_MS);
  stalled.unref();

  async function* read(): AsyncGenerator<Buffer, void> {
    try {
      for await (const part of command.read({ stdout: 0, stderr: 0 }, signal)) {
        stalled.refresh();
        if (part.kind === 'stdout') yield part.data;
        else if (part.kind === 'end') state = part.state;
        else if (errors.length < MAX_ERROR_BYTES) errors += part.data.toString();
      }
    } finally {
      clearTimeout(stalled);
      if (command.isRunning) void command.kill('request').catch(() => undefined);
    }
  }
  return {
    command,
    output: read(),
    refusal: () => refusalOf(state, errors),
    progress: () => stalled.refresh(),
  };
}

function refusalOf(state: ExecState, errors: string): Refused | undefined {
  if (state.state === 'exited') {
    if (state.exitCode === 0) return undefined;
    if (state.exitCode === 126 || state.exitCode === 127) return refused('no_helper');
    const known = FILE_EXITS[state.exitCode as keyof typeof FILE_EXITS] as FileRefusal | undefined;
    return known === undefined ? refused('failed', detailOf(errors)) : refused(known, errors);
  }
  if (state.state !== 'killed') return refused('failed', 'the operation was ended');
  if (state.reason === 'timeout') return refused('failed', 'no byte has moved for a minute');
  if (state.reason === 'worker_stopped') return refused('stopping');
  // Also the memory limit of the instance kills it.
  return refused(state.reason === 'request' ? 'failed' : 'gone', 'the operation was ended');
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
