import type Docker from 'dockerode';
import { execInside } from './exec-inside.ts';

/** Who may not be reached: how a probe is sent, and where to. */
export interface Target {
  readonly name: string;
  readonly by: 'http' | 'redis';
  readonly address: string;
  readonly port: number;
}

/** A shell command that succeeds where its target answers. */
function command({ by, address, port }: Target): string {
  switch (by) {
    case 'redis':
      return `printf 'PING\\r\\n' | nc -w 2 ${address} ${port} | grep -q PONG`;
    case 'http':
      return `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${address} ${port} | grep -q HTTP`;
  }
}

/** Sends every probe at once from inside a container; gives the names of those that answer. */
export async function reachedFrom(
  docker: Docker,
  containerId: string,
  targets: readonly Target[],
): Promise<string[]> {
  const lines = targets.map((each, i) => `{ ${command(each)}; } >/dev/null 2>&1 && echo :${i}: &`);
  const { text } = await execInside(docker, containerId, `${lines.join('\n')}\nwait`);
  return targets.flatMap(({ name }, i) => (text.includes(`:${i}:`) ? [name] : []));
}
