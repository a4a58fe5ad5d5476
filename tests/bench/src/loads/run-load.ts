import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { surroundings } from '../config.ts';
import { CORES } from '../cores.ts';

const run = promisify(execFile);

/** Runs a load generator of this folder on the core for loads, and returns its JSON output. */
export async function runLoad<T>(file: string, options: object): Promise<T> {
  const path = join(import.meta.dirname, file);
  const args = ['-c', String(CORES.load), process.execPath, path, JSON.stringify(options)];
  const { stdout } = await run('taskset', args, { env: surroundings });
  return JSON.parse(stdout) as T;
}
