import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '@ephemera/testing';
import type Docker from 'dockerode';
import { connectDocker } from '../src/docker/connect-docker.ts';
import type { RunOnHost } from '../src/firewall.ts';

const run = promisify(execFile);

/** A machine of the test's own: a network namespace with a Docker daemon, and the world beyond it. */
export interface OwnEngine {
  readonly docker: Docker;
  readonly dockerHost: string;
  /** Runs a shell script in the network of the machine. */
  readonly onHost: RunOnHost;
  /** The same, and gives what it printed. */
  hostSays(script: string): Promise<string>;
  /** Starts a program in the network of the machine, in that beyond it, or in that of a process. */
  spawnIn(place: 'host' | 'world' | number, ...command: string[]): ChildProcess;
  inWorld(script: string): Promise<string>;
  /** As `systemctl restart docker`. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface OwnEngineOptions {
  /** The daemon's configuration, as `daemon.json` has it. */
  readonly daemon?: Readonly<Record<string, unknown>>;
  /** Where it listens beside its socket. */
  readonly hosts?: readonly string[];
  /** What the daemon finds in /etc/resolv.conf. */
  readonly resolvConf?: string;
  /** Images of the machine's own daemon that this one gets too. */
  readonly images?: readonly string[];
  /** Addresses of the world: all that is not the machine's own is routed there. */
  readonly world?: readonly string[];
  readonly from: Docker;
}

/** The machine's address towards the world, and the world's towards it (TEST-NET-2). */
export const MACHINE = '198.51.100.1';
export const WORLD = '198.51.100.2';

/** Starts a Docker daemon that may be restarted and whose firewall may be changed at will. */
export async function startOwnEngine(options: OwnEngineOptions): Promise<OwnEngine> {
  const key = randomBytes(4).toString('hex');
  const dir = await mkdtemp(join(tmpdir(), 'eph-engine-'));
  const names = { host: `eph-h-${key}`, world: `eph-w-${key}` };
  const socket = join(dir, 'docker.sock');
  const dockerHost = `unix://${socket}`;
  const docker = connectDocker(dockerHost);
  const children: ChildProcess[] = [];

  const inside = (place: 'host' | 'world' | number) =>
    `--net=${typeof place === 'number' ? `/proc/${place}/ns/net` : `/var/run/netns/${names[place]}`}`;
  const shell = async (place: 'host' | 'world', script: string): Promise<string> =>
    (await run('nsenter', [inside(place), '/bin/sh', '-c', script], { timeout: 30_000 })).stdout;

  const spawnIn: OwnEngine['spawnIn'] = (place, ...command) => {
    const child = spawn('nsenter', [inside(place), ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    return child;
  };

  let daemon: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    const bind = `mount --bind ${dir}/resolv.conf /etc/resolv.conf && exec "$@"`;
    const dockerd = ['dockerd', '--config-file', `${dir}/daemon.json`];
    const folders = ['--data-root', `${dir}/data`, '--exec-root', `${dir}/exec`];
    const command = [...dockerd, ...folders, '--pidfile', `${dir}/docker.pid`];
    const child = spawnIn('host', 'unshare', '--mount', 'sh', '-c', bind, 'sh', ...command);
    let log = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream
        ?.setEncoding('utf8')
        .on('data', (chunk: string) => (log = (log + chunk).slice(-8_000)));
    }
    daemon = child;
    await waitFor(
      'the daemon',
      async () => {
        if (child.exitCode !== null) throw new Error(`dockerd ended:\n${log}`);
        return docker.ping().then(Boolean, () => false);
      },
      60_000,
    );
  };

  const end = async (child: ChildProcess | undefined): Promise<void> => {
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await gone;
  };

  const stop = async (): Promise<void> => {
    // It stops its containers; the namespaces go with the last of their processes.
    await end(daemon);
    await Promise.all(children.map(end));
    for (const name of Object.values(names)) {
      await run('ip', ['netns', 'del', name]).catch(() => undefined);
    }
    await rm(dir, { recursive: true, force: true });
  };

  try {
    await mkdir(join(dir, 'data'));
    await writeFile(
      join(dir, 'daemon.json'),
      JSON.stringify({ ...options.daemon, hosts: [dockerHost, ...(options.hosts ?? [])] }),
    );
    await writeFile(join(dir, 'resolv.conf'), options.resolvConf ?? 'nameserver 192.0.2.1\n');
    for (const name of Object.values(names)) await run('ip', ['netns', 'add', name]);
    const world = (options.world ?? []).map((each) => `ip address add ${each}/32 dev lo`);
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
    await start();
    for (const image of options.images ?? []) {
      const answer = await docker.loadImage(await options.from.getImage(image).get());
      for await (const _ of answer) continue;
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    docker,
    dockerHost,
    async onHost(script) {
      await shell('host', script);
    },
    hostSays: (script) => shell('host', script),
    inWorld: (script) => shell('world', script),
    spawnIn,
    async restart() {
      await end(daemon);
      await start();
    },
    stop,
  };
}
