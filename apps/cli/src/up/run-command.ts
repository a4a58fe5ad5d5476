import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { BootError } from '@ephemera/domain';
import { inherited } from '../config.ts';

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Every line that the command prints, standard error included. */
  readonly onLine?: (line: string) => void;
  /** Lines that it writes to descriptor 3, where apt-get and others report their progress. */
  readonly onStatus?: (line: string) => void;
}

const retainedLines = 20;

/** Runs a command to its end; a failure carries the last lines that it printed. */
export async function runCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<void> {
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env ?? inherited,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const tail: string[] = [];
  const [, out, err, status] = child.stdio;
  for (const stream of [out, err]) {
    createInterface({ input: stream as NodeJS.ReadableStream }).on('line', (line) => {
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
  if (outcome === undefined) return;
  const command = [file, ...args].join(' ');
  throw new BootError([`${command}: ${outcome}`, ...tail.map((line) => `    ${line}`)].join('\n'));
}
