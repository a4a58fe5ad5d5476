import { connect } from 'node:net';
import { docker } from './run.ts';

/** Which of the targets, `address:port`, take a TCP connection from inside a container. */
export async function reachedFrom(
  container: string,
  targets: readonly string[],
): Promise<string[]> {
  // All at once: what is blocked takes the whole timeout.
  const script = targets
    .map((target) => `(nc -w 3 ${target.replace(':', ' ')} -e true && echo ${target}) &`)
    .join('\n');
  return (await docker('exec', container, 'sh', '-c', `${script}\nwait`)).sort();
}

/** Which of them take one from this machine. */
export async function reachedFromHere(targets: readonly string[]): Promise<string[]> {
  const tries = targets.map((target) => {
    const [host, port] = target.split(':');
    const socket = connect({ host, port: Number(port), timeout: 3_000 });
    return new Promise<string[]>((resolve) => {
      socket.once('connect', () => resolve([target]));
      socket.once('error', () => resolve([]));
      socket.once('timeout', () => resolve([]));
    }).finally(() => socket.destroy());
  });
  return (await Promise.all(tries)).flat().sort();
}
