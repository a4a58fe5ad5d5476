import type { Duplex } from 'node:stream';
import type { ExecRequest } from '@ephemera/lifecycle';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { ignoreStatus, withDeadline } from './docker-client.ts';
import { EXEC_MARK } from './exec-processes.ts';

/** A command that Docker has started in a container. */
export interface StartedCommand {
  /**
   * Its standard input and its multiplexed output. It may stay open after the command has exited,
   * because another process has the output open, or because dockerode misses the end.
   */
  readonly stream: Duplex;
  /** Undefined: the container is gone. */
  inspect(): Promise<
    { readonly running: boolean; readonly exitCode: number; readonly pid: number } | undefined
  >;
  resize(columns: number, rows: number): Promise<void>;
}

/**
 * Starts a command in a container.
 * @throws an error of dockerode: 409 if the container is paused or does not run, 404 if it is gone,
 * 400 if an option is invalid
 */
export async function runCommand(
  container: Docker.Container,
  execId: string,
  { cmd, cwd, env, user, tty }: ExecRequest,
): Promise<StartedCommand> {
  const creation = container.exec({
    Cmd: [...cmd],
    Env: [
      ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
      `${EXEC_MARK}=${execId}`,
    ],
    ...(cwd !== undefined && { WorkingDir: cwd }),
    ...(user !== undefined && { User: user }),
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: tty,
  });
  const exec = await withDeadline('exec', DEFAULT_TIMEOUT_MS, creation);
  const start = exec.start({ hijack: true, stdin: true, Tty: tty });
  const stream = await withDeadline('exec start', DEFAULT_TIMEOUT_MS, start);
  return {
    stream,
    async inspect() {
      const call = withDeadline('exec inspect', DEFAULT_TIMEOUT_MS, exec.inspect());
      const seen = await ignoreStatus([404], call);
      return seen && { running: seen.Running, exitCode: seen.ExitCode ?? -1, pid: seen.Pid };
    },
    async resize(columns, rows) {
      const call = exec.resize({ h: rows, w: columns });
      await withDeadline('exec resize', DEFAULT_TIMEOUT_MS, call);
    },
  };
}

type OnOutput = (stream: 'stdout' | 'stderr', bytes: Buffer) => void;

/**
 * Splits the output of a command into its two streams. Each frame has a header: the stream, three
 * zero bytes and the length in big-endian order (Docker Engine API, `ContainerAttach`). Output of a
 * TTY has no frames.
 */
export function demultiplex(tty: boolean, onOutput: OnOutput): (chunk: Buffer) => void {
  if (tty) return (chunk) => onOutput('stdout', chunk);
  let header = Buffer.alloc(0);
  let left = 0;
  return (chunk) => {
    let rest = chunk;
    while (rest.length > 0) {
      if (left === 0) {
        const missing = 8 - header.length;
        header = Buffer.concat([header, rest.subarray(0, missing)]);
        rest = rest.subarray(missing);
        if (header.length < 8) return;
        left = header.readUInt32BE(4);
        if (left === 0) header = Buffer.alloc(0);
        continue;
      }
      const part = rest.subarray(0, left);
      onOutput(header[0] === 2 ? 'stderr' : 'stdout', part);
      left -= part.length;
      rest = rest.subarray(part.length);
      if (left === 0) header = Buffer.alloc(0);
    }
  };
}
