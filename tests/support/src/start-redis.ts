import { spawn } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';

/**
 * The value of the key `dataset` for a Redis that has served before: an unknown id is unknown at once,
 * without a worker and without the settle time of a new data set.
 */
export const SETTLED_DATASET = '0';

export interface StartedRedis {
  readonly url: string;
  readonly port: number;
  /** Process id of the running server. */
  readonly pid: number;
  /** Stops the server and starts it again with its data on disk. */
  restart(signal: 'TERM' | 'KILL'): Promise<void>;
  stop(): Promise<void>;
}

/** Returns a loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}

/**
 * Restarts its Redis for each signal name that it reads. When its input ends, it stops Redis and
 * removes the folder. The input also ends when the starting process is killed, so that an
 * interrupted test leaves no server behind.
 */
const PARENT_WATCHDOG = `
command -v redis-server >/dev/null || exit 127
folder=$1; shift
start() {
  redis-server --dir "$folder" "$@" >/dev/null 2>&1 &
  echo $!
}
end() {
  kill -CONT $! 2>/dev/null; kill "-$1" $! 2>/dev/null; wait $!
}
start "$@"
while read -r signal; do
  end "$signal"
  start "$@"
done
end TERM
rm -rf "$folder"
`;

/**
 * Starts a separate Redis on a free loopback port, without eviction and, unless `args` say
 * otherwise, without persistence.
 */
export async function startRedis(
  options: { port?: number; args?: string[] } = {},
): Promise<StartedRedis> {
  const port = options.port ?? (await freePort());
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-redis-'));
  const settings = ['--bind', '127.0.0.1', '--save', '', '--maxmemory-policy', 'noeviction'];
  const args = [folder, '--port', String(port), ...settings, ...(options.args ?? [])];
  const keeper = spawn('/bin/sh', ['-c', PARENT_WATCHDOG, 'sh', ...args], {
    stdio: ['pipe', 'pipe', 'ignore'],
    // In its own process group: a signal from the terminal must not stop it before the tests do.
    detached: true,
  });
  const exited = new Promise<void>((resolve) => keeper.once('exit', () => resolve()));
  const nextPid = () =>
    new Promise<number>((resolve) => {
      keeper.stdout.once('data', (text: Buffer) => resolve(Number(text.toString())));
    });
  const first = nextPid();
  const failed = exited.then(() => {
    throw new Error('redis-server is not installed');
  });
  const url = `redis://127.0.0.1:${port}/0`;
  await Promise.race([answers(url), failed]);
  failed.catch(() => undefined);
  let pid = await first;
  return {
    url,
    port,
    get pid() {
      return pid;
    },
    async restart(signal) {
      const next = nextPid();
      keeper.stdin.write(`${signal}\n`);
      pid = await next;
      await answers(url);
    },
    async stop() {
      keeper.stdin.end();
      await exited;
    },
  };
}

async function answers(url: string): Promise<void> {
  const redis = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  redis.on('error', () => undefined);
  try {
    await redis.ping();
  } finally {
    redis.disconnect();
  }
}
