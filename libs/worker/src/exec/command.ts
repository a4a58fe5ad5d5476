import { setTimeout as sleep } from 'node:timers/promises';
import type {
  ExecInput,
  ExecKillReason,
  ExecOffsets,
  ExecOutput,
  ExecRequest,
  ExecResult,
  ExecState,
  ExecStatus,
} from '@ephemera/lifecycle';
import type { ExecSignal } from '@ephemera/domain';
import type { ExecProcesses } from '../docker/exec-processes.ts';
import { demultiplex } from '../docker/run-command.ts';
import type { StartedCommand } from '../docker/run-command.ts';
import {
  INPUT_WAIT_MS,
  INSPECT_INTERVAL_MS,
  KILL_PAUSE_MS,
  KILL_TIMEOUT_MS,
  LAST_OUTPUT_LIMIT_MS,
  LAST_OUTPUT_MS,
  MAX_KILLS,
  MAX_LAG_BYTES,
  MAX_REST_KILLS,
  MAX_WAITING_INPUT_BYTES,
  OUTPUT_BYTES,
  PART_BYTES,
} from './limits.ts';
import { KillRetries } from './kill-retries.ts';
import { OutputRing } from './output-ring.ts';

type StreamName = 'stdout' | 'stderr';

/** The instance and generation that an operation is for. */
export interface ExecTarget {
  readonly id: string;
  readonly generation: number;
}

/** What a reader of a running command gets. */
export type ExecPart =
  | { readonly kind: StreamName; readonly offset: number; readonly data: Buffer }
  | { readonly kind: 'end'; readonly state: ExecState };

interface Exit {
  readonly exitCode: number;
}

/** One command in a container: its output, its input and its end. */
export class Command {
  readonly execId: string;
  readonly target: ExecTarget;
  readonly containerId: string;
  readonly request: ExecRequest;
  readonly #started: StartedCommand;
  readonly #processes: ExecProcesses;
  readonly #lastOutputLimitMs: number;
  /** Of the processes that run, and of those that it has left behind. */
  readonly #kills: KillRetries;
  readonly #restKills: KillRetries;
  readonly #output = { stdout: new OutputRing(OUTPUT_BYTES), stderr: new OutputRing(OUTPUT_BYTES) };
  readonly #readers = new Set<{ stdout: number; stderr: number }>();
  readonly #timeout: NodeJS.Timeout | undefined;
  #changed = Promise.withResolvers<undefined>();
  #state: ExecState = { state: 'running' };
  #endedAt: number | undefined;
  #killedBecause: ExecKillReason | undefined;
  #hasOpenInput = true;
  #hasClosed = false;
  #exitPause = 10;
  #lastOutputAt = performance.now();
  #isKilledElsewhere = false;
  #killing: Promise<void> | undefined;

  constructor(options: {
    readonly execId: string;
    readonly target: ExecTarget;
    readonly containerId: string;
    readonly request: ExecRequest;
    readonly started: StartedCommand;
    readonly processes: ExecProcesses;
    /** Time that readers have for the last output after the exit, ms. */
    readonly lastOutputLimitMs?: number;
    /** Half of the pause after the first failed kill, ms. */
    readonly killPauseMs?: number;
  }) {
    const { execId, target, containerId, request, started, processes } = options;
    this.execId = execId;
    this.target = target;
    this.containerId = containerId;
    this.request = { ...request, stdin: '' };
    this.#started = started;
    this.#processes = processes;
    this.#lastOutputLimitMs = options.lastOutputLimitMs ?? LAST_OUTPUT_LIMIT_MS;
    const killPauseMs = options.killPauseMs ?? INSPECT_INTERVAL_MS;
    this.#kills = new KillRetries(MAX_KILLS, killPauseMs);
    this.#restKills = new KillRetries(MAX_REST_KILLS, killPauseMs);
    const { stream } = started;
    const onChunk = demultiplex(request.tty, (name, bytes) => {
      this.#output[name].append(bytes);
    });
    stream.on('data', (chunk: Buffer) => {
      this.#lastOutputAt = performance.now();
      onChunk(chunk);
      if (this.#isTooFarAhead()) stream.pause();
      this.#notify();
    });
    // The end of the command is read from Docker. A failed connection ends only output and input.
    const onClose = (): void => {
      this.#hasClosed = true;
      // Docker reads no more input either. What waits would count towards the limit of the host.
      stream.destroy();
      this.#notify();
    };
    stream.once('end', onClose).once('close', onClose).on('error', onClose);
    this.#write({ data: request.stdin, end: !request.keepStdin });
    if (request.timeout !== undefined) {
      this.#timeout = setTimeout(() => {
        // `waitForExit` repeats a kill that failed.
        this.kill('timeout').catch(() => undefined);
      }, request.timeout);
    }
  }

  get state(): ExecState {
    return this.#state;
  }

  get isRunning(): boolean {
    return this.#state.state === 'running';
  }

  /** By `performance.now()`. Undefined while it runs. */
  get endedAt(): number | undefined {
    return this.#endedAt;
  }

  /** Bytes of the standard input that the command has not read. */
  get waitingInputBytes(): number {
    const { stream } = this.#started;
    return stream.destroyed ? 0 : stream.writableLength;
  }

  get storedBytes(): number {
    return this.#output.stdout.capacity + this.#output.stderr.capacity;
  }

  /** The state, and the stored output from the offsets on. */
  status({ stdout, stderr }: ExecOffsets): ExecStatus {
    return {
      ...this.#state,
      execId: this.execId,
      stdout: this.#outputFrom('stdout', stdout),
      stderr: this.#outputFrom('stderr', stderr),
    };
  }

  /**
   * Writes to the standard input, and waits a while for the command to read it. What it has not read
   * then is still written.
   */
  async write(input: ExecInput): Promise<ExecResult<null>> {
    const written = this.#write(input);
    const { stream } = this.#started;
    if (written.kind === 'done' && stream.writableNeedDrain && !this.#hasClosed) {
      const done = Promise.withResolvers<undefined>();
      stream.once('drain', done.resolve).once('close', done.resolve);
      await Promise.race([done.promise, sleep(INPUT_WAIT_MS, undefined, { ref: false })]);
      stream.off('drain', done.resolve).off('close', done.resolve);
    }
    return written;
  }

  #write({ data, end }: ExecInput): ExecResult<null> {
    const { stream } = this.#started;
    if (!this.isRunning || !this.#hasOpenInput || this.#hasClosed) {
      return { kind: 'refused', why: 'ended' };
    }
    const bytes = Buffer.from(data, 'base64');
    const waiting = stream.writableLength;
    if (waiting > 0 && waiting + bytes.length > MAX_WAITING_INPUT_BYTES) {
      return { kind: 'refused', why: 'busy' };
    }
    if (bytes.length > 0) stream.write(bytes);
    if (end) {
      this.#hasOpenInput = false;
      stream.end();
    }
    return { kind: 'done', value: null };
  }

  /**
   * Writes to the standard input, and waits until the command has capacity for more. Returns false if
   * the input is closed, or if the signal aborts meanwhile.
   */
  async writeBytes(bytes: Buffer, signal?: AbortSignal): Promise<boolean> {
    const { stream } = this.#started;
    if (!this.#hasOpenInput || this.#hasClosed || isAborted(signal)) return false;
    if (stream.write(bytes)) return true;
    const done = Promise.withResolvers<undefined>();
    const onAbort = (): void => done.resolve(undefined);
    stream.once('drain', done.resolve).once('close', done.resolve);
    signal?.addEventListener('abort', onAbort, { once: true });
    await done.promise;
    stream.off('drain', done.resolve).off('close', done.resolve);
    signal?.removeEventListener('abort', onAbort);
    if (isAborted(signal)) return false;
    return !this.#hasClosed;
  }

  /** Ends the standard input. */
  endInput(): void {
    this.#write({ data: '', end: true });
  }

  resize(columns: number, rows: number): Promise<void> {
    return this.#started.resize(columns, rows);
  }

  /**
   * Kills all processes of the command. The first reason is reported.
   * @throws Error if the kill failed; `waitForExit` repeats it
   */
  kill(reason: ExecKillReason): Promise<void> {
    this.#killedBecause ??= reason;
    this.#killing ??= this.#kill().finally(() => (this.#killing = undefined));
    return this.#killing;
  }

  /** The caller kills it, and what it leaves behind. The first reason is reported. */
  expectKill(reason: ExecKillReason): void {
    this.#killedBecause ??= reason;
    this.#isKilledElsewhere = true;
  }

  /** The process id on the host of its first process; 0 before it is started. Undefined: no container. */
  async leader(): Promise<number | undefined> {
    return (await this.#started.inspect())?.pid;
  }

  /** Whether Docker reports that its first process runs, or is being started. */
  async isInDocker(): Promise<boolean> {
    const seen = await this.#started.inspect();
    return seen !== undefined && this.#isAlive(seen);
  }

  /**
   * Before the process exists, Docker reports that it does not run and has no exit code. If its start
   * fails, Docker closes the stream.
   */
  #isAlive(seen: { readonly running: boolean; readonly exitCode: number }): boolean {
    return seen.running || (seen.exitCode === -1 && !this.#hasClosed);
  }

  async #kill(): Promise<void> {
    const deadline = performance.now() + KILL_TIMEOUT_MS;
    for (let pause = KILL_PAUSE_MS; ; pause *= 2) {
      const leader = await this.leader();
      if (leader === undefined) break;
      await this.#signal('KILL', leader);
      if (!(await this.isInDocker())) break;
      if (performance.now() > deadline) throw new Error('the command still runs after SIGKILL');
      await sleep(pause);
    }
    this.#notify();
  }

  /**
   * Sends a signal to all processes of the command.
   * @throws Error if no process was found although the command runs
   */
  async signal(signal: ExecSignal): Promise<void> {
    const found = await this.#signal(signal, await this.leader());
    if (found === 0 && (await this.#started.inspect())?.running === true) {
      throw new Error('no process of the command was found');
    }
  }

  #signal(signal: ExecSignal, leader: number | undefined): Promise<number> {
    const { containerId, execId } = this;
    const leaders = leader === undefined || leader === 0 ? [] : [leader];
    return this.#processes.signal(containerId, { execIds: [execId], leaders }, signal);
  }

  /** Waits until the state changes, at most `ms`, or until the signal aborts. */
  async waitForEnd(ms: number, signal: AbortSignal): Promise<void> {
    const limit = AbortSignal.any([AbortSignal.timeout(ms), signal]);
    const aborted = new Promise<void>((resolve) => {
      if (limit.aborted) resolve();
      limit.addEventListener('abort', () => resolve(), { once: true });
    });
    while (this.isRunning && !limit.aborted) {
      await Promise.race([this.#changed.promise, aborted]);
    }
  }

  /**
   * The output from the offsets on, as it arrives, and then the end. While a client reads, the
   * command waits for the reader instead of losing output.
   */
  async *read(from: ExecOffsets, signal: AbortSignal): AsyncGenerator<ExecPart, void> {
    const reader = { ...from };
    this.#readers.add(reader);
    const onAbort = (): void => this.#notify();
    signal.addEventListener('abort', onAbort);
    try {
      while (!signal.aborted) {
        const changed = this.#changed.promise;
        let isEmpty = true;
        for (const kind of ['stdout', 'stderr'] as const) {
          const { offset, data } = this.#output[kind].read(reader[kind], PART_BYTES);
          if (data.length === 0) continue;
          isEmpty = false;
          reader[kind] = offset + data.length;
          this.#resumeOutput();
          yield { kind, offset, data };
        }
        if (!isEmpty) continue;
        if (!this.isRunning) {
          yield { kind: 'end', state: this.#state };
          return;
        }
        await changed;
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#readers.delete(reader);
      this.#resumeOutput();
    }
  }

  /**
   * Waits until the first process of the command has exited and its output has arrived, and kills
   * the processes that it has left.
   * @param onError a call failed; it is repeated, kills after a pause that doubles
   * @returns undefined if the container is gone
   */
  async waitForExit(onError: (error: unknown) => void): Promise<Exit | undefined> {
    for (;;) {
      try {
        const seen = await this.#started.inspect();
        if (!seen) return undefined;
        if (!this.#isAlive(seen)) {
          await this.#lastOutput();
          if (this.#isKilledElsewhere) return seen;
          const isDone = await this.#restKills.try(() => this.#killRest(seen.pid), onError);
          // What could not be killed ends with the instance.
          if (isDone || this.#restKills.areOver) return seen;
        } else if (this.#killedBecause !== undefined && !this.#isKilledElsewhere) {
          const reason = this.#killedBecause;
          await this.#kills.try(() => this.kill(reason), onError);
        }
      } catch (error) {
        onError(error);
      }
      await this.#untilCloseOr(INSPECT_INTERVAL_MS);
    }
  }

  /** Records the end. `ended`: why the instance ended, if that killed the command. */
  finish(exit: Exit | undefined, ended: ExecKillReason | undefined): void {
    const reason = ended ?? this.#killedBecause;
    if (reason !== undefined) this.#state = { state: 'killed', reason };
    else if (exit) this.#state = { state: 'exited', exitCode: exit.exitCode };
    else this.#state = { state: 'killed', reason: 'exited' };
    this.#endedAt = performance.now();
    this.close();
    this.#notify();
  }

  /** Releases the connection to Docker. */
  close(): void {
    clearTimeout(this.#timeout);
    this.#started.stream.destroy();
  }

  async #killRest(leader: number): Promise<void> {
    if (await this.#processes.mayBeLeft(this.containerId, this.execId, leader)) {
      await this.#signal('KILL', leader);
    }
  }

  /**
   * Waits for the rest of the output. A process that was left behind may keep the stream open, and a
   * reader may stop reading.
   */
  async #lastOutput(): Promise<void> {
    const exitedAt = performance.now();
    let seenAt = exitedAt;
    while (!this.#hasClosed) {
      const now = performance.now();
      const isPaused = this.#started.stream.isPaused();
      if (!isPaused && now - Math.max(exitedAt, this.#lastOutputAt) > LAST_OUTPUT_MS) return;
      if (now - exitedAt > this.#lastOutputLimitMs) return;
      if (now - seenAt > INSPECT_INTERVAL_MS) {
        seenAt = now;
        // The container is gone: a reader does not hold the place of the command any longer.
        if ((await this.#started.inspect()) === undefined) return;
      }
      await this.#untilCloseOr(LAST_OUTPUT_MS / 4);
    }
  }

  async #untilCloseOr(ms: number): Promise<void> {
    if (this.#hasClosed) {
      // Docker reports the exit shortly after it has closed the stream. But a command may also close
      // its output and go on.
      await sleep(Math.min(ms, this.#exitPause));
      this.#exitPause = Math.min(this.#exitPause * 2, INSPECT_INTERVAL_MS);
      return;
    }
    const closed = Promise.withResolvers<undefined>();
    const { stream } = this.#started;
    stream.once('end', closed.resolve).once('close', closed.resolve);
    await Promise.race([closed.promise, sleep(ms)]);
    stream.off('end', closed.resolve).off('close', closed.resolve);
  }

  #outputFrom(name: StreamName, from: number): ExecOutput {
    const ring = this.#output[name];
    const { offset, data } = ring.read(from);
    return { offset, data: data.toString('base64'), total: ring.total };
  }

  #isTooFarAhead(): boolean {
    const { stdout, stderr } = this.#output;
    return [...this.#readers].some(
      (reader) =>
        stdout.total - reader.stdout > MAX_LAG_BYTES ||
        stderr.total - reader.stderr > MAX_LAG_BYTES,
    );
  }

  #resumeOutput(): void {
    if (this.#started.stream.isPaused() && !this.#isTooFarAhead()) this.#started.stream.resume();
  }

  #notify(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers();
    resolve(undefined);
  }
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}
