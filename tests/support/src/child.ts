import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process that a run has started and ends. */
export interface Child {
  readonly pid: number;
  /** All output so far. */
  log(): string;
  signal(name: NodeJS.Signals): void;
  /** The exit code or the signal that ended it; undefined while it runs. */
  ended(): number | string | undefined;
  /** Waits until it has exited and its output has been read. */
  exit(): Promise<number | string>;
  /**
   * Stops it with SIGTERM and waits; also continues a stopped process. After `timeoutMs` it sends
   * SIGKILL.
   */
  stop(timeoutMs?: number): Promise<void>;
}

/** The output stays open longer than the process if a descendant has inherited it. */
const OUTPUT_TIMEOUT_MS = 1_000;

export function startChild(
  program: string,
  args: readonly string[],
  env?: Record<string, string>,
): Child {
  const child: ChildProcess = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(env && { env }),
  });
  const chunks: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
  }
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const outputRead = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.once('error', (error) => chunks.push(String(error)));
  // The children end with the run, however it ends.
  const killChild = () => void child.kill('SIGKILL');
  process.once('exit', killChild);
  child.once('exit', () => process.off('exit', killChild));
  const ended = () => child.exitCode ?? child.signalCode ?? undefined;
  return {
    pid: child.pid ?? 0,
    log: () => chunks.join(''),
    signal: (name) => void child.kill(name),
    ended,
    async exit() {
      await exited;
      await Promise.race([outputRead, sleep(OUTPUT_TIMEOUT_MS, undefined, { ref: false })]);
      return ended() ?? 'nothing';
    },
    async stop(timeoutMs = 40_000) {
      if (child.pid === undefined || ended() !== undefined) return;
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      const timeout = sleep(timeoutMs, 'late' as const, { ref: false });
      if ((await Promise.race([exited, timeout])) === 'late') child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Returns how many file descriptors a process has open. */
export function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Returns the resident memory of a process, MiB. */
export function residentMegabytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
