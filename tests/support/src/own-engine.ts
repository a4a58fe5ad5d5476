import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { endProcess } from './own-machine.ts';
import { waitFor } from './wait-for.ts';

const run = promisify(execFile);

/** A Docker daemon of the test's own, which may be restarted and killed at will. */
export interface OwnEngine {
  readonly socketPath: string;
  /** The same, as DOCKER_HOST has it. */
  readonly dockerHost: string;
  /** Where it keeps everything. */
  readonly dataRoot: string;
  /** What an operator would type behind `docker`; gives what it printed. */
  docker(...args: string[]): Promise<string>;
  /** Whether its containers outlive it, from now on. */
  setLiveRestore(on: boolean): Promise<void>;
  /** As `systemctl restart docker`, or after a `kill -9`; resolves once it answers again. */
  restart(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Removes its containers and ends it. */
  stop(): Promise<void>;
}

export interface OwnEngineOptions {
  /** Of its own: two daemons share no bridge, so it needs a network namespace of its own too. */
  readonly folder: string;
  /** Starts a program where the daemon is to be; here where absent. */
  readonly spawn?: (...command: string[]) => ChildProcess;
  /** The daemon's configuration, as `daemon.json` has it. */
  readonly daemon?: Readonly<Record<string, unknown>>;
  /** Where it listens beside its socket. */
  readonly hosts?: readonly string[];
  /** Images of the machine's own daemon that this one gets too. */
  readonly images?: readonly string[];
}

/** How much of what the daemon writes is kept, for whoever asks why it ended. */
const LOG = 8_000;

export async function startOwnEngine(options: OwnEngineOptions): Promise<OwnEngine> {
  const { folder, spawn: start = spawnHere } = options;
  const socketPath = join(folder, 'docker.sock');
  const dockerHost = `unix://${socketPath}`;
  const dataRoot = join(folder, 'data');
  const config = join(folder, 'daemon.json');
  const docker = async (...args: string[]) =>
    (await run('docker', ['-H', dockerHost, ...args])).stdout.trim();
  const configure = (more: object) =>
    writeFile(
      config,
      JSON.stringify({
        ...options.daemon,
        hosts: [dockerHost, ...(options.hosts ?? [])],
        ...more,
      }),
    );

  // Of its own, as services have it: containers outlive a dockerd that is killed.
  const containerd = join(folder, 'containerd.sock');
  let keeper: ChildProcess | undefined;
  const beginKeeper = async (): Promise<void> => {
    const file = join(folder, 'containerd.toml');
    await writeFile(file, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
    const places = ['--root', join(dataRoot, 'keeper'), '--state', join(folder, 'keeper')];
    keeper = start('containerd', '--config', file, '--address', containerd, ...places);
    keeper.stdout?.resume();
    keeper.stderr?.resume();
    await waitFor('containerd', () => existsSync(containerd));
  };

  let daemon: ChildProcess | undefined;
  const begin = async (): Promise<void> => {
    const places = ['--data-root', dataRoot, '--exec-root', join(folder, 'exec')];
    const more = ['--pidfile', join(folder, 'docker.pid'), '--containerd', containerd];
    const child = start('dockerd', '--config-file', config, ...places, ...more);
    let log = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-LOG)));
    }
    daemon = child;
    await waitFor(
      'the daemon',
      async () => {
        if (child.exitCode !== null) throw new Error(`dockerd ended:\n${log}`);
        return pings(socketPath);
      },
      60_000,
    );
  };
  const stop = async (): Promise<void> => {
    const left = await docker('ps', '-aq').catch(() => '');
    if (left !== '') await docker('rm', '-f', ...left.split('\n'));
    await endProcess(daemon);
    await endProcess(keeper);
  };

  try {
    await mkdir(dataRoot, { recursive: true });
    await configure({});
    await beginKeeper();
    await begin();
    if (options.images) {
      const copy = 'docker save "$@" | docker -H "$0" load';
      await run('sh', ['-c', copy, dockerHost, ...options.images]);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    socketPath,
    dockerHost,
    dataRoot,
    docker,
    async setLiveRestore(on) {
      await configure({ 'live-restore': on });
      daemon?.kill('SIGHUP');
      const reported = () => docker('info', '--format', '{{.LiveRestoreEnabled}}');
      await waitFor('the configuration', async () => (await reported()) === String(on));
    },
    async restart(signal = 'SIGTERM') {
      if (signal === 'SIGKILL') daemon?.kill(signal);
      await endProcess(daemon);
      await begin();
    },
    stop,
  };
}

function spawnHere(program = '', ...args: string[]): ChildProcess {
  return spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
}

function pings(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = get({ socketPath, path: '/_ping', timeout: 1_000 }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.once('timeout', () => asked.destroy());
    asked.once('error', () => resolve(false));
  });
}
