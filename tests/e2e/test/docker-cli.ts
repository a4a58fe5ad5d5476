import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What an operator would see: the docker command's own answer, as lines. */
export async function docker(...args: string[]): Promise<string[]> {
  const { stdout } = await run('docker', args);
  return stdout.split('\n').filter(Boolean);
}

/** Names of all containers of a namespace, stopped ones too. */
export function containersOf(namespace: string): Promise<string[]> {
  return docker(
    'ps',
    '-a',
    '--filter',
    `label=ephemera.namespace=${namespace}`,
    '--format',
    '{{.Names}}',
  );
}
