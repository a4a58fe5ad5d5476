import { createServer } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { docker } from './run.ts';

/** Returns the targets (`address:port`) that accept a TCP connection from a container. */
export async function reachedFrom(
  container: string,
  targets: readonly string[],
): Promise<string[]> {
  // Runs probes concurrently, because a blocked target takes the whole timeout. The number stays
  // below the process limit of the container.
  const script = targets
    .map((target, i) => {
      const probe = `(nc -w 3 ${target.replace(':', ' ')} -e true && echo ${target}) &`;
      return i % 15 === 14 ? `${probe}\nwait` : probe;
    })
    .join('\n');
  return (await docker('exec', container, 'sh', '-c', `${script}\nwait`)).sort();
}

/** Checks one target from a container that has Node.js but no nc. */
export async function isReachedByNode(container: string, target: string): Promise<boolean> {
  const [host, port] = target.split(':');
  const options = JSON.stringify({ host, port: Number(port), timeout: 3_000 });
  const script = `
    const socket = require('node:net').connect(${options});
    const say = (word) => () => { console.log(word); process.exit(); };
    socket.on('connect', say('reached')).on('error', say('not')).on('timeout', say('not'));`;
  return (await docker('exec', container, 'node', '--eval', script)).includes('reached');
}

/** Returns the targets that accept a TCP connection from this machine. */
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

/** Starts a server on all addresses of this machine, as a target of connection tests. */
export async function listenEverywhere(): Promise<{ port: number; close(): void }> {
  const server = createServer((_, answer) => answer.end());
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

/** An address of this machine that does not belong to a bridge of a deployment. */
export function addressOfMachine(): string {
  const [found] = Object.entries(networkInterfaces())
    .filter(([name]) => !/^(br-|eph)/.test(name))
    .flatMap(([, addresses = []]) => addresses)
    .filter(({ family, internal }) => family === 'IPv4' && !internal);
  if (!found) throw new Error('this machine has no address except loopback');
  return found.address;
}
