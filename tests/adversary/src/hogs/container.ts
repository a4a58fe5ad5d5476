import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The container of an instance, as seen from its host. */
export interface HostView {
  readonly pid: number;
  /** The address at which the host reaches it. */
  readonly address: string;
  /** Path of its log on the host. */
  readonly logPath: string;
  /** Returns the last lines of its output. */
  lastLines(lines: number): Promise<string>;
  exec(line: string): Promise<string>;
  /**
   * Reads a counter of its control group from the first of the files that exists (cgroup v1 or v2).
   */
  counter(controller: string, files: readonly string[], name?: string): Promise<number>;
}

const WANTED =
  '{{.State.Pid}} {{.LogPath}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';

/** @throws if the instance has no running container */
export async function inspectContainer(id: string): Promise<HostView> {
  const container = await docker(
    'ps',
    '-q',
    '--no-trunc',
    '--filter',
    `label=ephemera.instance=${id}`,
  );
  const [pid = '', logPath = '', address = ''] = (
    await docker('inspect', '--format', WANTED, container)
  ).split(' ');
  return {
    pid: Number(pid),
    address,
    logPath,
    lastLines: async (lines) => {
      const { stdout } = await run('docker', ['logs', '--tail', String(lines), container]);
      return stdout;
    },
    exec: (line) => docker('exec', container, '/bin/sh', '-c', line),
    counter: (controller, files, name) => readCounter(pid, controller, files, name),
  };
}

async function docker(...args: string[]): Promise<string> {
  return (await run('docker', args)).stdout.trim();
}

async function readCounter(
  pid: string,
  controller: string,
  files: readonly string[],
  name?: string,
): Promise<number> {
  const groups = (await readFile(`/proc/${pid}/cgroup`, 'utf8')).trim().split('\n');
  const [first, second] = [controller, ''].map((kind) =>
    groups
      .map((group) => group.split(':'))
      .find(([, kinds = '']) => kinds.split(',').includes(kind)),
  );
  const folder = first
    ? `/sys/fs/cgroup/${controller}${first[2] ?? ''}`
    : `/sys/fs/cgroup${second?.[2] ?? ''}`;
  for (const file of files) {
    const text = await readFile(`${folder}/${file}`, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const line =
      name === undefined ? text : text.split('\n').find((item) => item.startsWith(`${name} `));
    if (line !== undefined) return Number(line.trim().split(' ').at(-1));
  }
  throw new Error(`no ${files.join(' or ')} in ${folder}`);
}
