import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export const root = join(import.meta.dirname, '../../..');

/**
 * Runs a program in the workspace's root and gives what it printed.
 * @throws Error with what it printed on stderr where it ends in failure
 */
export async function run(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const { stdout } = await execute(program, args, { cwd: root, env, maxBuffer: 64 * 1024 ** 2 });
  return stdout;
}

/** What an operator would see: the docker command's own answer, as lines. */
export async function docker(...args: string[]): Promise<string[]> {
  return (await run('docker', args)).split('\n').filter(Boolean);
}
