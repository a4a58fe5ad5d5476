import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Where a program runs: on the machine, in the simulated world outside it, or in the network
 * namespace of the process with that id.
 */
export type Place = 'host' | 'world' | number;

/**
 * A simulated machine with its own network and mount namespaces, and a simulated world outside it.
 */
export interface OwnMachine {
  /** A folder for the files of a test. `stop` removes it. */
  readonly folder: string;
  /** Starts a program. `stop` kills it if it still runs. */
  spawnIn(place: Place, ...command: string[]): ChildProcess;
  /** Runs a shell script on the machine and returns its output. */
  hostSays(script: string): Promise<string>;
  inWorld(script: string): Promise<string>;
  stop(): Promise<void>;
}

export interface OwnMachineOptions {
  /**
   * Content of /etc/resolv.conf on the machine. By default it names a resolver that does not
   * answer.
   */
  readonly resolvConf?: string;
  /** Addresses in the simulated world. The machine routes all traffic to other networks there. */
  readonly world?: readonly string[];
}

/**
 * Address of the machine on the link to the world, and address of the world on that link
 * (TEST-NET-2).
 */
export const MACHINE = '198.51.100.1';
export const WORLD = '198.51.100.2';

/**
 * Keeps the mount namespace of the machine. `cat` exits when its standard input closes, however the
 * test process exits.
 */
const HOLD = `mount --bind "$1" /etc/resolv.conf && echo held && exec cat >/dev/null`;

export async function startOwnMachine(options: OwnMachineOptions = {}): Promise<OwnMachine> {
  const key = randomBytes(4).toString('hex');
  const folder = await mkdtemp(join(tmpdir(), 'eph-machine-'));
  const names = { host: `eph-h-${key}`, world: `eph-w-${key}` };
  const netOf = (place: 'host' | 'world') => `--net=/var/run/netns/${names[place]}`;
  const children: ChildProcess[] = [];
  let mountHolder: ChildProcess | undefined;

  const inside = (place: Place): string[] => {
    if (typeof place === 'number') return [`--net=/proc/${place}/ns/net`];
    if (place === 'world') return [netOf(place)];
    return ['--target', String(mountHolder?.pid), '--net', '--mount'];
  };
  const shell = async (place: Place, script: string): Promise<string> => {
    const command = [...inside(place), '/bin/sh', '-c', script];
    return (await run('nsenter', command, { timeout: 30_000 })).stdout;
  };
  const stop = async (): Promise<void> => {
    await Promise.all(children.map((child) => endProcess(child, 'SIGKILL')));
    // A killed dockerd leaves the shims of its containers in the network namespace of the machine.
    const left = `for pid in $(ip netns pids ${names.host}); do pkill -9 -P $pid; kill -9 $pid; done`;
    await run('sh', ['-c', left]).catch(() => undefined);
    await endProcess(mountHolder);
    for (const name of Object.values(names)) {
      await run('ip', ['netns', 'del', name]).catch(() => undefined);
    }
    await rm(folder, { recursive: true, force: true });
  };

  try {
    const resolvConf = join(folder, 'resolv.conf');
    await writeFile(resolvConf, options.resolvConf ?? 'nameserver 192.0.2.1\n');
    for (const name of Object.values(names)) await run('ip', ['netns', 'add', name]);
    const hold = ['unshare', '--mount', 'sh', '-c', HOLD, 'sh', resolvConf];
    mountHolder = await startHolder([netOf('host'), ...hold]);
    const world = (options.world ?? []).map((text) => `ip address add ${text}/32 dev lo`);
    await shell(
      'host',
      `ip link add world type veth peer name machine netns ${names.world} &&
      ip address add ${MACHINE}/24 dev world && ip link set lo up && ip link set world up`,
    );
    await shell(
      'world',
      ['ip link set lo up', 'ip link set machine up', `ip address add ${WORLD}/24 dev machine`]
        .concat(world, `ip route add 10.128.0.0/9 via ${MACHINE}`)
        .join('\n'),
    );
    await shell('host', `ip route add default via ${WORLD}`);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    folder,
    spawnIn(place, ...command) {
      const child = spawn('nsenter', [...inside(place), ...command], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      children.push(child);
      return child;
    },
    hostSays: (script) => shell('host', script),
    inWorld: (script) => shell('world', script),
    stop,
  };
}

async function startHolder(args: readonly string[]): Promise<ChildProcess> {
  const child = spawn('nsenter', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', () => reject(new Error(`the machine could not be created: ${log}`)));
  });
  return child;
}

/** Signals a process and waits until it exits. */
export async function endProcess(
  child: ChildProcess | undefined,
  signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM',
): Promise<void> {
  if (child?.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}
