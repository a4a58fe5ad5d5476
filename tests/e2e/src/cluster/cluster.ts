import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { endProcess, startOwnEngine, waitFor } from '@ephemera/test-support';
import type { OwnEngine } from '@ephemera/test-support';
import { createLan, lanExists, removeLan } from './lan.ts';
import type { Machine } from './lan.ts';

// A deployment over several machines, each a network namespace: one with the proxy and Redis, and one
// with a worker and a Docker Engine for each host.

const root = join(import.meta.dirname, '../../../..');
const REDIS_PORT = 6379;

/** How the proxy reaches the instances. */
export type ClusterReach = 'published' | 'routed';

export interface ClusterOptions {
  /** Distinguishes it from other clusters of this Linux machine. */
  readonly name: string;
  readonly hosts: number;
  readonly reach: ClusterReach;
  /** Path of the configuration file. */
  readonly config: string;
  /** The images of its templates, on the machine's own daemon. */
  readonly images: readonly string[];
  readonly onProgress?: (text: string) => void;
}

/** A program on a machine, with its output. */
export interface Program {
  readonly child: ChildProcess;
  log(): string;
}

export interface ClusterHost {
  readonly machine: Machine;
  readonly engine: OwnEngine;
  worker: Program;
  /** Starts another worker of the host, with further settings. */
  startWorker(settings?: Readonly<Record<string, string>>): Promise<Program>;
}

export interface Cluster {
  readonly name: string;
  /** The address of this Linux machine on the network of the cluster. */
  readonly outside: string;
  readonly front: Machine;
  readonly hosts: readonly ClusterHost[];
  readonly proxy: Program;
  readonly publicUrl: string;
  readonly adminUrl: string;
  readonly token: string;
  readonly redisUrl: string;
  addMachine(name: string): Promise<Machine>;
  /** Stops the programs in order, and removes everything that the cluster has made. */
  stop(): Promise<void>;
}

/**
 * Starts a cluster. Needs root, Docker, redis-server and the demo image.
 * @throws Error if a cluster of this name exists, or a program does not start; nothing is left then
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { name, reach, onProgress = () => undefined } = options;
  if (await lanExists(name)) {
    throw new Error(
      `A cluster named ${name} exists. Stop its command with Ctrl-C, or remove what is left of it: npm run cluster -- --down --name ${name}`,
    );
  }
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0).reverse()) await end().catch(() => undefined);
    await removeLan(name);
  };
  try {
    const lan = await createLan(name);
    // Not recursive: a folder that another user has made is refused.
    await mkdir(lan.folder, { mode: 0o700 });
    const front = await lan.addMachine('front');
    onProgress(`Redis and a proxy on ${front.address}`);
    const redisSettings = ['--save', '', '--maxmemory-policy', 'noeviction'];
    const listening = ['--port', String(REDIS_PORT), '--protected-mode', 'no'];
    const redis = runOn(front, ['redis-server', ...listening, ...redisSettings]);
    stops.push(() => endProcess(redis.child));
    await waitFor('Redis', () => front.says(`redis-cli -p ${REDIS_PORT} ping`));

    const token = randomBytes(24).toString('base64url');
    const redisUrl = `redis://${front.address}:${REDIS_PORT}/0`;
    const shared = {
      EPHEMERA_REDIS_URL: redisUrl,
      EPHEMERA_CONFIG: options.config,
      EPHEMERA_SIGNING_KEYS: randomBytes(32).toString('base64url'),
    };
    const startApp = async (
      machine: Machine,
      app: 'proxy' | 'worker',
      settings: Readonly<Record<string, string>>,
    ): Promise<Program> => {
      const main = join(root, 'apps', app, 'src/main.ts');
      const environment = Object.entries({ ...shared, ...settings });
      const named = environment.map(([key, value]) => `${key}=${value}`);
      const program = runOn(machine, ['env', ...named, process.execPath, main]);
      stops.push(() => endProcess(program.child));
      const state = await waitFor(`the ${app} on ${machine.name}`, () => {
        if (program.log().includes(`${app} ready`)) return 'ready';
        const { exitCode, signalCode } = program.child;
        return exitCode !== null || signalCode !== null ? 'ended' : undefined;
      });
      if (state === 'ended') throw new Error(program.log());
      return program;
    };
    const publicUrl = `http://${front.address}:8080`;
    const proxy = await startApp(front, 'proxy', {
      EPHEMERA_HOST: front.address,
      EPHEMERA_ADMIN_HOST: front.address,
      EPHEMERA_ADMIN_TOKEN: token,
      EPHEMERA_PUBLIC_URL: publicUrl,
    });

    const hosts: ClusterHost[] = [];
    for (let index = 0; index < options.hosts; index++) {
      const machine = await lan.addMachine(`h${index + 1}`);
      onProgress(`host ${machine.name} on ${machine.address}`);
      const folder = join(lan.folder, machine.name);
      await mkdir(folder);
      const engine = await startOwnEngine({
        folder,
        spawn: (...command) => machine.spawn(...command),
        daemon: { 'cgroup-parent': `/ephc-${name}_${machine.name}`, 'live-restore': true },
        ...(options.images.length > 0 && { images: options.images }),
      });
      stops.push(() => engine.stop());
      const subnet = `10.${231 + index}.0.0/16`;
      const startWorker = (settings: Readonly<Record<string, string>> = {}) =>
        startApp(machine, 'worker', {
          DOCKER_HOST: engine.dockerHost,
          EPHEMERA_HOST_ID: machine.name,
          EPHEMERA_HOST_LISTEN: machine.address,
          EPHEMERA_PROXIES: `${front.address}/32`,
          EPHEMERA_REACH: reach,
          ...(reach === 'published' && { EPHEMERA_ADVERTISE: machine.address }),
          ...(reach === 'routed' && { EPHEMERA_SUBNET: subnet }),
          ...settings,
        });
      hosts.push({ machine, engine, startWorker, worker: await startWorker() });
      if (reach === 'routed') {
        await front.says(`ip route replace ${subnet} via ${machine.address}`);
      }
    }
    return {
      ...{ name, front, hosts, proxy, publicUrl, token, redisUrl, stop },
      outside: lan.outside,
      adminUrl: `http://${front.address}:8081`,
      addMachine: (machineName) => lan.addMachine(machineName),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function runOn(machine: Machine, command: readonly string[]): Program {
  const child = machine.spawn(...command);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  }
  return { child, log: () => text };
}
