import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type Docker from 'dockerode';
import { execInside } from './exec-inside.ts';

const run = promisify(execFile);
const ASK_UDP = join(import.meta.dirname, 'ask-udp.ts');

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
      throw new Error('one process sends the datagrams of all targets');
    case 'ping':
      return `busybox ping -c 1 -W 2 ${address}`;
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
  const items = targets.map((target, i) => ({ target, i }));
  const script = (...ways: Target['by'][]) =>
    items
      .filter(({ target }) => ways.includes(target.by))
      .map(({ target, i }) => `{ ${command(target)}; } >/dev/null 2>&1 && echo :${i}: &`)
      .concat('wait')
      .join('\n');
  const datagrams = items
    .filter(({ target }) => target.by === 'udp')
    .map(({ target, i }) => `${i}=${target.address}:${target.port}`);
  const { State } = await docker.getContainer(containerId).inspect();
  const network = `--net=/proc/${State.Pid}/ns/net`;
  const [inside, pings, replies] = await Promise.all([
    execInside(docker, containerId, script('http', 'redis')),
    run('nsenter', [network, '/bin/sh', '-c', script('ping')]),
    run('nsenter', [network, process.execPath, ASK_UDP, ...datagrams]),
  ]);
  const answers = inside.text + pings.stdout + replies.stdout;
  return targets.flatMap(({ name }, i) => (answers.includes(`:${i}:`) ? [name] : []));
}
