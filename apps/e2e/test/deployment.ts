import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, startRedis } from '@ephemera/testing';
import type { StartedRedis } from '@ephemera/testing';

const root = join(import.meta.dirname, '../../..');

export const TOKEN = randomBytes(24).toString('base64url');

/** A process of the deployment, by what it does. */
export interface App {
  readonly name: string;
  readonly child: ChildProcess;
  readonly port: number;
  /** Everything that it has written so far. */
  log(): string;
}

export interface Deployment {
  readonly namespace: string;
  readonly redis: StartedRedis;
  /** The public address of every replica. */
  readonly publicUrls: readonly string[];
  readonly adminUrls: readonly string[];
  readonly dashboardUrl: string | undefined;
  readonly proxies: readonly App[];
  readonly workers: App[];
  /** The file that the templates are in. */
  readonly config: string;
  startWorker(): Promise<App>;
  /** Asks the control API of one replica. */
  api(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
    replica?: number,
  ): Promise<Response>;
  stop(): Promise<void>;
}

export interface DeploymentOptions {
  readonly proxies?: number;
  readonly workers?: number;
  readonly dashboard?: boolean;
  /** The templates, as `ephemera.yml` has them. */
  readonly templates: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts a whole deployment of its own, as real processes on free ports with a Redis beside it. */
export async function deploy(options: DeploymentOptions): Promise<Deployment> {
  const namespace = `e2e-${randomBytes(4).toString('hex')}`;
  const redis = await startRedis();
  const dir = await mkdtemp(join(tmpdir(), 'ephemera-e2e-'));
  const config = join(dir, 'ephemera.yml');
  await writeFile(config, options.templates);
  const common = {
    PATH: process.env['PATH'],
    DOCKER_HOST: process.env['DOCKER_HOST'],
    EPHEMERA_REDIS_URL: redis.url,
    EPHEMERA_NAMESPACE: namespace,
    EPHEMERA_CONFIG: config,
    EPHEMERA_ADMIN_TOKEN: TOKEN,
    ...options.env,
  };

  const apps: App[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(apps.map(terminate));
    await removeAll(common);
    await redis.stop();
    await rm(dir, { recursive: true, force: true });
  };

  const startApp = async (
    name: string,
    port: number,
    env: Record<string, string>,
  ): Promise<App> => {
    const child = spawn(process.execPath, [join(root, `apps/${name}/src/main.ts`)], {
      env: { ...common, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const chunks: string[] = [];
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
    const app: App = { name, child, port, log: () => chunks.join('') };
    apps.push(app);
    await healthy(app);
    return app;
  };

  const startWorker = async (): Promise<App> => {
    const port = await freePort();
    const worker = await startApp('worker', port, { EPHEMERA_WORKER_PORT: String(port) });
    workers.push(worker);
    return worker;
  };

  const workers: App[] = [];
  const proxies: App[] = [];
  const publicUrls: string[] = [];
  const adminUrls: string[] = [];
  const startProxy = async (): Promise<void> => {
    const [publicPort, adminPort] = [await freePort(), await freePort()];
    const env = {
      EPHEMERA_PUBLIC_PORT: String(publicPort),
      EPHEMERA_ADMIN_PORT: String(adminPort),
    };
    proxies.push(await startApp('proxy', adminPort, env));
    publicUrls.push(`http://127.0.0.1:${publicPort}`);
    adminUrls.push(`http://127.0.0.1:${adminPort}`);
  };

  const dashboardPort = await freePort();
  try {
    // One after another: the first makes the network, and none has to wait for it.
    for (let i = 0; i < (options.workers ?? 1); i++) await startWorker();
    for (let i = 0; i < (options.proxies ?? 1); i++) await startProxy();
    const env = { EPHEMERA_DASHBOARD_PORT: String(dashboardPort) };
    if (options.dashboard) await startApp('dashboard', dashboardPort, env);
  } catch (error) {
    await stop();
    throw error;
  }

  return {
    namespace,
    redis,
    publicUrls,
    adminUrls,
    dashboardUrl: options.dashboard ? `http://127.0.0.1:${dashboardPort}` : undefined,
    proxies,
    workers,
    config,
    startWorker,
    api(method, path, body, headers = {}, replica = 0) {
      return fetch(`${adminUrls[replica] ?? ''}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${TOKEN}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
    },
    stop,
  };
}

/** Ends a process as an operator would, and waits until it has ended. */
export async function terminate({ child, name, log }: App): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGCONT');
  child.kill('SIGTERM');
  const late = sleep(40_000, 'late', { ref: false });
  if ((await Promise.race([ended, late])) === 'late') {
    child.kill('SIGKILL');
    throw new Error(`${name} did not stop:\n${log()}`);
  }
}

/** Removes what the deployment has on the Docker daemon, as the product itself does it. */
async function removeAll(env: Record<string, string | undefined>): Promise<void> {
  const child = spawn(process.execPath, [join(root, 'apps/worker/src/remove-all.ts')], {
    env,
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const [errors, code] = await Promise.all([
    text(child.stderr),
    new Promise((resolve) => child.once('exit', resolve)),
  ]);
  if (code !== 0) throw new Error(`something was left on the Docker daemon: ${errors}`);
}

async function healthy({ name, child, port, log }: App): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null) throw new Error(`${name} ended at its start:\n${log()}`);
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(50);
  }
  throw new Error(`${name} did not become healthy:\n${log()}`);
}
