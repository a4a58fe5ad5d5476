import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export const root = join(import.meta.dirname, '../../..');

/**
 * Runs a program in the root of the workspace and returns its output.
 * @throws Error with its stderr if it fails
 */
export async function run(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const { stdout } = await execute(program, args, { cwd: root, env, maxBuffer: 64 * 1024 ** 2 });
  return stdout;
}

/** Runs the docker command and returns the lines of its output. */
export async function docker(...args: string[]): Promise<string[]> {
  return (await run('docker', args)).split('\n').filter(Boolean);
}
