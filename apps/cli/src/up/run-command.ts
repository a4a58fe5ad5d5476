import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { BootError } from '@ephemera/domain';
import { inherited } from '../config.ts';

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** What the command reads from its standard input; nothing where absent. */
  readonly input?: string;
  /** Ends the command with `stopWith` when it is aborted, and makes its reason the outcome. */
  readonly stop?: AbortSignal | undefined;
  readonly stopWith?: NodeJS.Signals;
  /** Every line that the command prints, standard error included. */
  readonly onLine?: (line: string) => void;
  /** Lines that it writes to descriptor 3, where apt-get and others report their progress. */
  readonly onStatus?: (line: string) => void;
}

const retainedLines = 20;

/**
 * Runs a command to its end; a failure carries the last lines that it printed. The command has a
 * session of its own: Ctrl-C in a terminal reaches this process alone, which decides what ends.
 *
 * @throws BootError where the command fails, and the reason of `stop` where that was aborted
 */
export async function runCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<void> {
  const { stop, stopWith = 'SIGTERM', input = '' } = options;
  stop?.throwIfAborted();
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env ?? inherited,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  });
  const end = () => void child.kill(stopWith);
  stop?.addEventListener('abort', end);
  process.once('exit', end);
  const tail: string[] = [];
  const [stdin, out, err, status] = child.stdio;
  // A command that reads nothing may have ended before this is written.
  stdin.on('error', () => undefined).end(input);
  for (const stream of [out, err]) {
    createInterface({ input: stream }).on('line', (line) => {
      tail.push(line);
      if (tail.length > retainedLines) tail.shift();
      options.onLine?.(line);
    });
  }
  createInterface({ input: status as NodeJS.ReadableStream }).on('line', (line) => {
    options.onStatus?.(line);
  });
  const outcome = await new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) =>
      resolve(code === 0 ? undefined : `ended with ${signal ?? `code ${code}`}`),
    );
  });
  stop?.removeEventListener('abort', end);
  process.off('exit', end);
  stop?.throwIfAborted();
  if (outcome === undefined) return;
  const command = [file, ...args].join(' ');
  throw new BootError([`${command}: ${outcome}`, ...tail.map((line) => `    ${line}`)].join('\n'));
}
