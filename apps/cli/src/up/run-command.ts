import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { BootError } from '@ephemera/domain';
import { inherited } from '../config.ts';

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Standard input of the command; empty if absent. */
  readonly input?: string;
  /** When it aborts, the command gets `stopWith`, and `runCommand` throws the signal's reason. */
  readonly stop?: AbortSignal | undefined;
  readonly stopWith?: NodeJS.Signals;
  /** Called with every output line, including standard error. */
  readonly onLine?: (line: string) => void;
  /** Called with every line on descriptor 3, where apt-get and others report their progress. */
  readonly onStatus?: (line: string) => void;
}

const retainedLines = 20;

/**
 * Runs a command to its end. A failure carries its last output lines. The command runs in its own
 * session, so that Ctrl-C in a terminal reaches only this process, which decides what ends.
 *
 * @throws BootError if the command fails, and the reason of `stop` if it aborted
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
  // A command that reads no input may end before the input is written.
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
