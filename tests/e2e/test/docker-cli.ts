import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Runs the docker command and returns the lines of its output. */
export async function docker(...args: string[]): Promise<string[]> {
  const { stdout } = await run('docker', args);
  return stdout.split('\n').filter(Boolean);
}

/** Names of all containers of a namespace, including stopped ones. */
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

/** Process ids and arguments of all processes in the container of an instance, one per line. */
export async function processesOf(id: string): Promise<string> {
  const [container = ''] = await docker('ps', '-q', '--filter', `label=ephemera.instance=${id}`);
  return (await docker('top', container, '-eo', 'pid,args')).join('\n');
}
