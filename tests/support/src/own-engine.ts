import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { endProcess } from './own-machine.ts';
import { waitFor } from './wait-for.ts';

const run = promisify(execFile);

/** A separate Docker daemon that a test may restart and kill. */
export interface OwnEngine {
  readonly socketPath: string;
  /** The socket as a value of DOCKER_HOST. */
  readonly dockerHost: string;
  /** The data root of the daemon. */
  readonly dataRoot: string;
  /** Runs the docker client. Returns its output. */
  docker(...args: string[]): Promise<string>;
  /** Sets whether containers survive the daemon from now on. */
  setLiveRestore(on: boolean): Promise<void>;
  /**
   * Restarts the daemon like `systemctl restart docker`, or after a `kill -9`. Resolves once it
   * answers.
   */
  restart(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Removes its containers and stops it. */
  stop(): Promise<void>;
}

export interface OwnEngineOptions {
  /**
   * A separate folder. Two daemons share no bridge, so each also needs its own network namespace.
   */
  readonly folder: string;
  /** Starts a program where the daemon runs; by default on this machine. */
  readonly spawn?: (...command: string[]) => ChildProcess;
  /** The daemon's configuration, as in `daemon.json`. */
  readonly daemon?: Readonly<Record<string, unknown>>;
  /** Additional addresses to listen on. */
  readonly hosts?: readonly string[];
  /** Images that are copied from the machine's own daemon. */
  readonly images?: readonly string[];
}

/** How many characters of the daemon's log are kept for error messages. */
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

  // A separate containerd, as with services: containers survive a killed dockerd.
  const containerd = join(folder, 'containerd.sock');
  let containerdProcess: ChildProcess | undefined;
  const startContainerd = async (): Promise<void> => {
    const file = join(folder, 'containerd.toml');
    await writeFile(file, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
    const places = ['--root', join(dataRoot, 'keeper'), '--state', join(folder, 'keeper')];
    containerdProcess = start('containerd', '--config', file, '--address', containerd, ...places);
    containerdProcess.stdout?.resume();
    containerdProcess.stderr?.resume();
    await waitFor('containerd', () => existsSync(containerd));
  };

  let daemon: ChildProcess | undefined;
  const startDaemon = async (): Promise<void> => {
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
    await endProcess(containerdProcess);
  };

  try {
    await mkdir(dataRoot, { recursive: true });
    await configure({});
    await startContainerd();
    await startDaemon();
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
      await startDaemon();
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
