import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, renameSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { BootError } from '@ephemera/domain';

import { withPrivateFiles } from '../state-folder.ts';
import type { Reporter } from '../terminal/reporter.ts';
import { lastLines, createErrorLineFilter } from './error-lines.ts';
import type { ErrorLineFilter } from './error-lines.ts';
import { waitUntil } from './wait-until.ts';

export interface ProcessSpec {
  /** Displayed name: `worker`, `proxy 2`. */
  readonly name: string;
  readonly command: readonly [file: string, ...args: string[]];
  readonly environment: NodeJS.ProcessEnv;
  readonly logFile: string;
  /** Whether the process is ready; polled after the start. */
  readonly isReady: () => Promise<boolean>;
}

/** Starts processes that are stopped together. */
export type Supervise = (specs: readonly ProcessSpec[]) => SupervisedProcess[];

const readyTimeoutMs = 60_000;
export const stopTimeoutMs = 45_000;
const initialRestartDelayMs = 500;
const maxRestartDelayMs = 30_000;
/** A process that ran this long before it died restarts with the initial delay. */
const stableAfterMs = 60_000;

/** A child process that logs to a file and is restarted when it dies. */
export class SupervisedProcess {
  readonly #spec: ProcessSpec;
  readonly #report: Reporter;
  readonly #errorLines: ErrorLineFilter;
  readonly #log: number;
  readonly #stopping = new AbortController();
  #child: ChildProcess | undefined;
  #exit = Promise.resolve('not started');
  #stopped: Promise<void> | undefined;
  #wasReady = false;
  #pauseMs = initialRestartDelayMs;
  #diedAt = -Infinity;

  constructor(spec: ProcessSpec, report: Reporter) {
    this.#spec = spec;
    this.#report = report;
    this.#errorLines = createErrorLineFilter();
    if (existsSync(spec.logFile)) renameSync(spec.logFile, `${spec.logFile}.1`);
    this.#log = openSync(spec.logFile, 'w', 0o600);
    this.#spawn();
  }

  get name(): string {
    return this.#spec.name;
  }

  /**
   * Waits until the process is ready.
   *
   * @throws BootError with the end of its log, if it ends or the timeout passes
   */
  async ready(stop: AbortSignal): Promise<void> {
    let ended: string | undefined;
    void this.#exit.then((how) => (ended = how));
    const ready = await waitUntil(
      async () => ended !== undefined || (await this.#spec.isReady()),
      readyTimeoutMs,
      stop,
    );
    if (ready && ended === undefined) {
      this.#wasReady = true;
      return;
    }
    const reason = ended ?? `is not ready after ${readyTimeoutMs / 1000} s`;
    throw new BootError(
      `The ${this.#spec.name} ${reason}. The end of ${this.#spec.logFile}:\n` +
        lastLines(this.#spec.logFile),
    );
  }

  /** Whether it runs, or is about to restart. */
  get isAlive(): boolean {
    const isRunning = this.#child?.exitCode === null && this.#child.signalCode === null;
    return isRunning || (this.#wasReady && !this.#stopping.signal.aborted);
  }

  /** Whether it died within the last `timeoutMs`, except by a regular stop. */
  hasDied(timeoutMs: number): boolean {
    return performance.now() - this.#diedAt < timeoutMs;
  }

  /** Stops the process: SIGTERM, then SIGKILL after a timeout. May be called again. */
  stop(): Promise<void> {
    this.#stopped ??= this.#end();
    return this.#stopped;
  }

  /** Kills it at once. */
  kill(): void {
    this.#stopping.abort();
    this.#child?.kill('SIGKILL');
  }

  async #end(): Promise<void> {
    this.#stopping.abort();
    this.#child?.kill('SIGTERM');
    const timer = setTimeout(() => this.kill(), stopTimeoutMs);
    await this.#exit;
    clearTimeout(timer);
    closeSync(this.#log);
  }

  #spawn(): void {
    const begun = performance.now();
    // In its own session: Ctrl-C reaches only this process, which stops all others in order.
    const [file, ...args] = this.#spec.command;
    const child = withPrivateFiles(() =>
      spawn(file, args, {
        env: this.#spec.environment,
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.#retainLine(line));
    }
    this.#exit = new Promise((resolve) => {
      child.once('error', (error) => resolve(`could not be started: ${error.message}`));
      child.once('close', (code, signal) => resolve(`ended with ${signal ?? `code ${code}`}`));
    });
    void this.#exit.then((how) => this.#scheduleRestart(how, performance.now() - begun));
  }

  #retainLine(line: string): void {
    try {
      writeSync(this.#log, `${line}\n`);
    } catch {
      // A full disk only loses log lines.
    }
    const errorLines = this.#errorLines(line);
    if (errorLines !== undefined) this.#report.warn(`${this.#spec.name}: ${errorLines}`);
  }

  /** Restarts a process that died after it had been ready. A failed start is not retried. */
  async #scheduleRestart(how: string, ranMs: number): Promise<void> {
    const { signal } = this.#stopping;
    if (!signal.aborted || how.includes('SIGKILL')) this.#diedAt = performance.now();
    if (signal.aborted || !this.#wasReady) return;
    if (ranMs > stableAfterMs) this.#pauseMs = initialRestartDelayMs;
    const pause = this.#pauseMs;
    this.#pauseMs = Math.min(pause * 2, maxRestartDelayMs);
    this.#report.warn(`the ${this.#spec.name} ${how}; it starts again in ${pause / 1000} s`);
    await sleep(pause, undefined, { signal }).catch(() => undefined);
    if (!this.#stopping.signal.aborted) this.#spawn();
  }
}
