import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type Docker from 'dockerode';
import { execInside } from './exec-inside.ts';

const run = promisify(execFile);

/** A probe target that must not be reachable. */
export interface Target {
  readonly name: string;
  readonly by: 'http' | 'redis' | 'udp' | 'ping';
  readonly address: string;
  /** Ignored by a ping. */
  readonly port: number;
}

/** A shell command that succeeds if the target answers. */
function command({ by, address, port }: Target): string {
  switch (by) {
    case 'redis':
      return `printf 'PING\\r\\n' | nc -w 2 ${address} ${port} | grep -q PONG`;
    case 'http':
      return `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${address} ${port} | grep -q HTTP`;
    case 'udp':
      return `${process.execPath} ${join(import.meta.dirname, 'ask-udp.ts')} ${address} ${port}`;
    case 'ping':
      return `busybox ping -c 2 -W 2 ${address}`;
  }
}

/**
 * Sends all probes concurrently from a container. Returns the names of the targets that answer.
 * Datagrams and pings are sent from the container's network namespace, because the demo's busybox
 * cannot send them.
 */
export async function reachedFrom(
  docker: Docker,
  containerId: string,
  targets: readonly Target[],
): Promise<string[]> {
  const script = (...ways: Target['by'][]) =>
    targets
      .flatMap((target, i) =>
        ways.includes(target.by) ? `{ ${command(target)}; } >/dev/null 2>&1 && echo :${i}: &` : [],
      )
      .concat('wait')
      .join('\n');
  const { State } = await docker.getContainer(containerId).inspect();
  const network = `--net=/proc/${State.Pid}/ns/net`;
  const [inside, beside] = await Promise.all([
    execInside(docker, containerId, script('http', 'redis')),
    run('nsenter', [network, '/bin/sh', '-c', script('udp', 'ping')]),
  ]);
  const answers = inside.text + beside.stdout;
  return targets.flatMap(({ name }, i) => (answers.includes(`:${i}:`) ? [name] : []));
}
