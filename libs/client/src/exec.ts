import type { components } from './api-types.ts';
import type { Call } from './call.ts';
import { StreamCutError, UnexpectedResponseError, isPassing, isProblem } from './errors.ts';
import { messagesOf } from './events.ts';
import { pause } from './retry.ts';

type Request = components['schemas']['RunCommand'];
type Event = components['schemas']['CommandEvent'];

/** How a command runs. */
export interface ExecOptions {
  /** Absolute path. Default: the working directory of the container. */
  readonly cwd?: string;
  /** Variables in addition to those of the container. */
  readonly env?: Readonly<Record<string, string>>;
  /** `user` or `user:group`. Default: that of the container. */
  readonly user?: string;
  /** Seconds after which the command is killed. Default: only the end of the instance ends it. */
  readonly timeout?: number;
  /** The standard input; text is encoded as UTF-8. */
  readonly stdin?: string | Uint8Array;
  /** Ends the wait with the reason of the signal, and kills the command. */
  readonly signal?: AbortSignal;
}

/** How a command runs that the caller talks to while it runs. */
export interface SpawnOptions extends ExecOptions {
  /** Whether the standard input stays open for `write()`. Default: it ends after `stdin`. */
  readonly keepStdin?: boolean;
  /** Whether the command gets a terminal. All output is then in `stdout`. */
  readonly tty?: boolean;
}

/** How a command ended. */
export type CommandEnd =
  | { readonly state: 'exited'; readonly exitCode: number }
  /** `reason`: `timeout`, `request`, or why the instance ended. */
  | { readonly state: 'killed'; readonly reason: string }
  /** Its worker has restarted. */
  | { readonly state: 'lost' };

/** A command that has ended, with its output as UTF-8. */
export type CommandResult = CommandEnd & { readonly stdout: string; readonly stderr: string };

/** A part of the output of a command. */
export interface CommandOutput {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

/** The name of a signal without `SIG`, such as `TERM`. */
export type ExecSignal = NonNullable<components['schemas']['KillCommand']['signal']>;

/** A command that was started. */
export interface RunningCommand {
  readonly execId: string;
  /**
   * All output as it arrives, and then how the command ended. The command waits while nobody reads.
   * A broken connection is continued where it broke. To be iterated once.
   * @throws StreamCutError if output is lost; the error of a write of `stdin`; ProblemError `gone` if the instance has ended meanwhile
   */
  output(): AsyncGenerator<CommandOutput, CommandEnd>;
  /**
   * Writes to the standard input, after all earlier writes, and waits until the command has capacity for it.
   * @throws the error of the first write that failed; nothing is written after that
   */
  write(data: string | Uint8Array): Promise<void>;
  /** Ends the standard input. */
  end(): Promise<void>;
  /** Sends a signal to all processes of the command. Default: `KILL`. */
  kill(signal?: ExecSignal): Promise<void>;
  /** Changes the size of the terminal, in characters. @throws ProblemError 409 if it has none */
  resize(columns: number, rows: number): Promise<void>;
}

/** The server sends a comment every 15 s. */
const SILENCE_MS = 45_000;
const RECONNECT_MS = 500;
const MAX_DOWN_MS = 60_000;
/** Bytes of one request for the standard input. */
const INPUT_BYTES = 262_144;
/** Pause before input is sent again that the command had no capacity for, ms. */
const INPUT_PAUSE_MS = 250;

/** Starts a command. Not repeated by itself, because that could run it twice. */
export async function spawnCommand(
  call: Call,
  id: string,
  cmd: readonly string[],
  { stdin = '', signal, keepStdin, ...options }: SpawnOptions,
): Promise<RunningCommand> {
  const input = bytesOf(stdin);
  // The rest follows when the command runs, because a request has a limit.
  const isSplit = input.length > INPUT_BYTES;
  const body: Request = {
    ...options,
    cmd: [...cmd],
    stdinBase64: toBase64(input.subarray(0, INPUT_BYTES)),
    keepStdin: keepStdin === true || isSplit,
  };
  const reading = new AbortController();
  const both = signal ? AbortSignal.any([signal, reading.signal]) : reading.signal;
  const stream = await call(
    (api, init) =>
      api.POST('/v1/instances/{id}/exec', {
        ...init,
        params: { path: { id } },
        headers: { accept: 'text/event-stream' },
        body,
        parseAs: 'stream',
      }),
    { signal: both, isRepeatable: false },
  );
  const messages = messagesOf(stream, SILENCE_MS);
  const first = await messages.next();
  const { execId } = (first.done === true ? {} : parse(first.value.data)) as Event;
  if (execId === undefined) throw new UnexpectedResponseError(200, 'without a command');

  const path = { id, execId };
  const send = async (data: Uint8Array, end: boolean): Promise<void> => {
    for (let at = 0; at === 0 || at < data.length; at += INPUT_BYTES) {
      const part = data.subarray(at, at + INPUT_BYTES);
      const isLast = at + INPUT_BYTES >= data.length;
      const input = { dataBase64: toBase64(part), end: end && isLast };
      for (;;) {
        try {
          // A repetition could write it twice.
          await call(
            (api, init) =>
              api.POST('/v1/instances/{id}/exec/{execId}/stdin', {
                ...init,
                params: { path },
                body: input,
              }),
            { isRepeatable: false },
          );
          break;
        } catch (error) {
          // Nothing of it was written: the command has not read what was sent before.
          if (!isProblem(error, 'full')) throw error;
        }
        await pause(INPUT_PAUSE_MS, signal);
      }
    }
  };
  let written: Promise<void> = Promise.resolve();
  /** Writes in the order of the calls. After a failure, nothing more is written: a part would be missing. */
  const write = (data: Uint8Array, end: boolean): Promise<void> => {
    written = written.then(() => send(data, end));
    // The caller may not wait for it.
    written.catch(() => undefined);
    return written;
  };
  const command: RunningCommand = {
    execId,
    output: () => readOutput(call, path, messages, both, reading),
    write: (data) => write(bytesOf(data), false),
    end: () => write(new Uint8Array(), true),
    async kill(name = 'KILL') {
      await call((api, init) =>
        api.POST('/v1/instances/{id}/exec/{execId}/kill', {
          ...init,
          params: { path },
          body: { signal: name },
        }),
      );
    },
    async resize(columns, rows) {
      await call((api, init) =>
        api.POST('/v1/instances/{id}/exec/{execId}/resize', {
          ...init,
          params: { path },
          body: { columns, rows },
        }),
      );
    },
  };
  if (isSplit) {
    // Beside the output: the command may wait for its reader before it reads on.
    write(input.subarray(INPUT_BYTES), keepStdin !== true).catch((error: unknown) => {
      // A command may end without reading all of its input.
      if (!isProblem(error, 'conflict', 'gone')) reading.abort(error);
    });
  }
  return command;
}

/** Runs a command to its end. @throws the errors of `spawnCommand` and `output()` */
export async function execCommand(
  call: Call,
  id: string,
  cmd: readonly string[],
  options: ExecOptions,
): Promise<CommandResult> {
  const command = await spawnCommand(call, id, cmd, options);
  const text = { stdout: '', stderr: '' };
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  const output = command.output();
  try {
    for (;;) {
      const { done, value } = await output.next();
      if (done === true) {
        text.stdout += decoders.stdout.decode();
        text.stderr += decoders.stderr.decode();
        return { ...value, ...text };
      }
      text[value.stream] += decoders[value.stream].decode(value.data, { stream: true });
    }
  } catch (error) {
    if (options.signal?.aborted === true) await command.kill().catch(() => undefined);
    throw error;
  }
}

async function* readOutput(
  call: Call,
  path: { readonly id: string; readonly execId: string },
  first: ReturnType<typeof messagesOf>,
  signal: AbortSignal,
  reading: AbortController,
): AsyncGenerator<CommandOutput, CommandEnd> {
  const offsets = { stdout: 0, stderr: 0 };
  let messages = first;
  let lostAt: number | undefined;
  try {
    for (;;) {
      try {
        for await (const { event, data } of messages) {
          const { offset = 0, data: text = '', ...end } = parse(data) as Event;
          if (event === 'end') return end as CommandEnd;
          if (event !== 'stdout' && event !== 'stderr') continue;
          if (offset > offsets[event]) {
            throw new Error(`${offset - offsets[event]} bytes of ${event} are no longer stored`);
          }
          const bytes = fromBase64(text);
          offsets[event] = offset + bytes.length;
          lostAt = undefined;
          yield { stream: event, data: bytes };
        }
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof StreamCutError)) {
          throw new StreamCutError((error as Error).message, { cause: error });
        }
      }
      lostAt ??= performance.now();
      messages = messagesOf(await reopen(lostAt), SILENCE_MS);
    }
  } finally {
    reading.abort();
  }

  /** Continues after the last byte. */
  async function reopen(since: number): Promise<ReadableStream<Uint8Array> | null> {
    for (;;) {
      await pause(RECONNECT_MS, signal);
      try {
        return await call(
          (api, init) =>
            api.GET('/v1/instances/{id}/exec/{execId}', {
              ...init,
              params: { path, query: offsets },
              headers: { accept: 'text/event-stream' },
              parseAs: 'stream',
            }),
          { signal },
        );
      } catch (error) {
        if (!isPassing(error) || performance.now() > since + MAX_DOWN_MS) throw error;
      }
    }
  }
}

function parse(data: string | undefined): unknown {
  return JSON.parse(data ?? '{}');
}

function bytesOf(data: string | Uint8Array): Uint8Array {
  return typeof data === 'string' ? new TextEncoder().encode(data) : data;
}

// Browsers have no Buffer.
function toBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
