import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { adminRoutes, pathPattern, undeclaredIn } from '@ephemera/contract';
import { Redis } from 'ioredis';
import { freePort, startRedis } from './start-redis.ts';
import type { StartedRedis } from './start-redis.ts';

const root = join(import.meta.dirname, '../../..');

export const TOKEN = randomBytes(24).toString('base64url');

/** A process of the deployment. */
export interface App {
  readonly name: string;
  readonly child: ChildProcess;
  /** The port of its health checks: a worker's own port, a proxy's admin port. */
  readonly port: number;
  /** All output so far. */
  log(): string;
}

/** Options of one process, in addition to those of the deployment. */
export interface AppOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Program and arguments of node instead of the app's own main.ts. */
  readonly entry?: readonly string[];
  /** Returns the process at once, before it is healthy, because it may exit at its start. */
  readonly unawaited?: boolean;
  /** Of a replica: serves each instance below this domain, whatever the deployment does. */
  readonly domain?: string;
}

export interface Deployment {
  readonly namespace: string;
  readonly redis: StartedRedis;
  /** The public URL of every replica. */
  readonly publicUrls: readonly string[];
  readonly adminUrls: readonly string[];
  readonly dashboardUrl: string | undefined;
  readonly proxies: readonly App[];
  readonly workers: App[];
  /** Path of the file with the templates. */
  readonly config: string;
  startWorker(options?: AppOptions): Promise<App>;
  /** Starts a replica. With `replica`, it replaces an earlier one on its ports. */
  startProxy(options?: AppOptions, replica?: number): Promise<App>;
  /** Calls the control API of one replica. */
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
  /**
   * Serves each instance on its own origin below this domain, on the public port of its replica.
   */
  readonly domain?: string;
  /** The templates, as in `ephemera.yml`. */
  readonly templates: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of its Redis, such as an append-only file. */
  readonly redisArgs?: string[];
  /** Writes to its Redis before the first process starts. */
  readonly seed?: (redis: Redis, namespace: string) => Promise<unknown>;
}

/** Starts a whole deployment: real processes on free ports, with their own Redis. */
export async function deploy(options: DeploymentOptions): Promise<Deployment> {
  const namespace = `e2e-${randomBytes(4).toString('hex')}`;
  const redis = await startRedis({ args: options.redisArgs ?? [] });
  if (options.seed) {
    const client = new Redis(redis.url);
    await options.seed(client, namespace);
    client.disconnect();
  }
  const dir = await mkdtemp(join(tmpdir(), 'ephemera-e2e-'));
  const config = join(dir, 'ephemera.yml');
  await writeFile(config, options.templates);
  const common = {
    PATH: process.env['PATH'],
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
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
    more: AppOptions = {},
  ): Promise<App> => {
    const args = more.entry ?? [join(root, `apps/${name}/src/main.ts`)];
    const child = spawn(process.execPath, args, {
      env: { ...common, ...env, ...more.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const chunks: string[] = [];
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
    // The children end with the tests, however they end.
    const killChild = () => void child.kill('SIGKILL');
    process.once('exit', killChild);
    child.once('exit', () => process.off('exit', killChild));
    const app: App = { name, child, port, log: () => chunks.join('') };
    apps.push(app);
    if (!more.unawaited) await healthy(app);
    return app;
  };

  const workers: App[] = [];
  const startWorker = async (more?: AppOptions): Promise<App> => {
    const port = await freePort();
    const worker = await startApp('worker', port, { EPHEMERA_WORKER_PORT: String(port) }, more);
    workers.push(worker);
    return worker;
  };

  const proxies: App[] = [];
  const publicUrls: string[] = [];
  const adminUrls: string[] = [];
  const startProxy = async (more?: AppOptions, replica = proxies.length): Promise<App> => {
    const portOf = async (url: string | undefined) =>
      url === undefined ? freePort() : Number(new URL(url).port);
    const publicPort = await portOf(publicUrls[replica]);
    const adminPort = await portOf(adminUrls[replica]);
    const domain = more?.domain ?? options.domain;
    const env = {
      EPHEMERA_PUBLIC_PORT: String(publicPort),
      EPHEMERA_ADMIN_PORT: String(adminPort),
      ...(domain !== undefined && { EPHEMERA_DOMAIN: `${domain}:${publicPort}` }),
    };
    const proxy = await startApp('proxy', adminPort, env, more);
    proxies[replica] = proxy;
    publicUrls[replica] = `http://127.0.0.1:${publicPort}`;
    adminUrls[replica] = `http://127.0.0.1:${adminPort}`;
    return proxy;
  };

  const dashboardPort = await freePort();
  try {
    const env = { EPHEMERA_DASHBOARD_PORT: String(dashboardPort) };
    // Processes of one kind start in order: the first worker creates the network, and replicas keep
    // their numbers.
    await allSettled([
      inOrder(options.workers ?? 1, startWorker),
      inOrder(options.proxies ?? 1, startProxy),
      options.dashboard === true && startApp('dashboard', dashboardPort, env),
    ]);
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
    startProxy,
    async api(method, path, body, headers = {}, replica = 0) {
      const answer = await fetch(`${adminUrls[replica] ?? ''}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${TOKEN}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      await requireDeclared(method, path, answer);
      return answer;
    },
    stop,
  };
}

/** @throws Error if a response of the control API does not match its declaration */
async function requireDeclared(method: string, path: string, answer: Response): Promise<void> {
  const asked = path.split('?')[0] ?? '';
  const route = Object.values(adminRoutes).find(
    (item) => item.method === method && pathPattern(item.path, true).test(asked),
  );
  if (!route) return;
  const type = answer.headers.get('content-type') ?? undefined;
  const isJson = type !== undefined && /^application\/(?:problem\+)?json/.test(type);
  const body: unknown = isJson ? await answer.clone().json() : undefined;
  const problem = undeclaredIn(route, { status: answer.status, type, body });
  if (problem !== undefined) throw new Error(problem);
}

async function inOrder(count: number, start: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < count; i++) await start();
}

/**
 * Waits for all, even if one fails, because a process that is still starting could not be stopped.
 */
async function allSettled(starts: readonly unknown[]): Promise<void> {
  const settled = await Promise.allSettled(starts);
  for (const result of settled) if (result.status === 'rejected') throw result.reason;
}

/** Stops a process with SIGTERM, and waits until it has exited. */
export async function terminate({ child, name, log }: App): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGCONT');
  child.kill('SIGTERM');
  const timeout = sleep(40_000, 'late', { ref: false });
  if ((await Promise.race([ended, timeout])) === 'late') {
    child.kill('SIGKILL');
    throw new Error(`${name} did not stop:\n${log()}`);
  }
}

/** Removes the deployment from the Docker daemon, with the product's own program. */
async function removeAll(env: Record<string, string | undefined>): Promise<void> {
  const child = spawn(process.execPath, [join(root, 'apps/worker/src/remove-all.ts')], {
    env,
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const [errors, code] = await Promise.all([
    text(child.stderr),
    new Promise((resolve) => child.once('exit', resolve)),
  ]);
  if (code !== 0)
    throw new Error(`the deployment was not removed from the Docker daemon: ${errors}`);
  process.stderr.write(errors);
}

async function healthy({ name, child, port, log }: App): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${name} exited at its start:\n${log()}`);
    }
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(50);
  }
  throw new Error(`${name} did not become healthy:\n${log()}`);
}
