import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process of the benchmark, pinned to one core. */
export interface Process extends AsyncDisposable {
  readonly pid: number;
  /** CPU time used so far, seconds. */
  cpu(): number;
  /** Resident memory now, bytes. */
  resident(): number;
}

export interface Start {
  readonly core: number;
  readonly command: readonly [string, ...string[]];
  readonly env?: NodeJS.ProcessEnv;
  /** The process is ready when it accepts a connection here. */
  readonly ready: { readonly host: string; readonly port: number };
}

/** Clock ticks per second in /proc (`getconf CLK_TCK`). */
const TICKS = 100;

/** Kills all remaining children when the benchmark exits. */
const alive = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

/**
 * Starts a server and waits until it listens.
 * @throws Error with its output if it exits earlier
 */
export async function startProcess({ core, command, env, ready }: Start): Promise<Process> {
  const dir = mkdtempSync(join(tmpdir(), 'ephemera-bench-'));
  const output = join(dir, 'output');
  const file = openSync(output, 'w');
  const child = spawn('taskset', ['-c', String(core), ...command], {
    stdio: ['ignore', file, file],
    ...(env && { env }),
  });
  closeSync(file);
  const started = asProcess(child, dir);
  try {
    await listening(child, ready, () => readFileSync(output, 'utf8'));
  } catch (error) {
    await started[Symbol.asyncDispose]();
    throw error;
  }
  return started;
}

function asProcess(child: ChildProcess, dir: string): Process {
  const { pid = 0 } = child;
  alive.add(child);
  return {
    pid,
    cpu() {
      // Fields 14 and 15. They are counted after the name, which may contain spaces (proc(5)).
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
      return (Number(fields[11]) + Number(fields[12])) / TICKS;
    },
    resident() {
      const [, kib] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      return Number(kib) * 1024;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        const timer = setTimeout(() => child.kill('SIGKILL'), 3_000);
        await ended;
        clearTimeout(timer);
      }
      alive.delete(child);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function listening(
  child: ChildProcess,
  at: { host: string; port: number },
  output: () => string,
): Promise<void> {
  const until = performance.now() + 30_000;
  while (performance.now() < until) {
    if (child.exitCode !== null) throw new Error(`${child.spawnargs.join(' ')}\n${output()}`);
    if (await answers(at)) return;
    await sleep(30);
  }
  throw new Error(`${child.spawnargs.join(' ')} did not listen\n${output()}`);
}

function answers(at: { host: string; port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(at);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
