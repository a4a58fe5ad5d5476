import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from './start-redis.ts';
import { waitFor } from './wait-for.ts';

/** A Redis server of the set, master or replica. */
export interface DataNode {
  readonly port: number;
  readonly url: string;
  /** Process id, for signals. */
  readonly pid: number;
}

/** Sentinels with a master and its replicas, all on loopback. */
export interface StartedSentinel {
  /** `redis-sentinel://…/main/0`. */
  readonly url: string;
  readonly name: string;
  readonly sentinels: readonly DataNode[];
  readonly nodes: readonly DataNode[];
  /** The node that the first sentinel names as master. */
  master(): Promise<DataNode>;
  /** Starts a planned failover. It is complete when `master` names another node. */
  failover(): Promise<void>;
  /** Runs one command on a node. */
  command(node: DataNode, name: string, ...args: string[]): Promise<unknown>;
  stop(): Promise<void>;
}

export interface SentinelOptions {
  readonly replicas?: number;
  readonly sentinels?: number;
  /** After how long without an answer the sentinels replace the master, ms. */
  readonly downAfterMs?: number;
  /** Further lines for the configuration of the data nodes and of the sentinels. */
  readonly nodeLines?: readonly string[];
  readonly sentinelLines?: readonly string[];
  /** `user:password` for the commands of the tests, on data nodes and on sentinels. */
  readonly nodeUser?: string;
  readonly sentinelUser?: string;
}

const NAME = 'main';

/** Stops its server when its input ends, also when the starting process was killed. */
const PARENT_WATCHDOG = `
redis-server "$@" >/dev/null 2>&1 &
echo $!
cat >/dev/null
kill -CONT $! 2>/dev/null; kill -KILL $! 2>/dev/null; wait $!
`;

/** Starts the set, and returns when every sentinel knows the replicas and the other sentinels. */
export async function startSentinel(options: SentinelOptions = {}): Promise<StartedSentinel> {
  const { replicas = 2, sentinels: count = 3, downAfterMs = 1_000 } = options;
  const { nodeLines = [], sentinelLines = [], nodeUser, sentinelUser } = options;
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-sentinel-'));
  const keepers: ChildProcess[] = [];
  const start = async (
    port: number,
    user: string | undefined,
    args: readonly string[],
  ): Promise<DataNode> => {
    const keeper = spawn('/bin/sh', ['-c', PARENT_WATCHDOG, 'sh', ...args], {
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
    });
    keepers.push(keeper);
    const pid = await new Promise<number>((resolve) =>
      keeper.stdout.once('data', (text: Buffer) => resolve(Number(text.toString()))),
    );
    const login = user === undefined ? '' : `${user}@`;
    return { port, url: `redis://${login}127.0.0.1:${port}/0`, pid };
  };
  const startNode = async (master?: DataNode): Promise<DataNode> => {
    const port = await freePort();
    const settings = {
      ...{ port, bind: '127.0.0.1', dir: folder, dbfilename: `${port}.rdb`, save: '' },
      ...{ 'maxmemory-policy': 'noeviction', 'repl-diskless-sync-delay': 0 },
      ...{ 'min-replicas-to-write': 1, 'min-replicas-max-lag': 2 },
      ...(master && { replicaof: `127.0.0.1 ${master.port}` }),
    };
    // CONFIG REWRITE of the sentinels needs a file.
    const file = join(folder, `${port}.conf`);
    const lines = Object.entries(settings).map(
      ([name, value]) => `${name} ${value === '' ? '""' : value}`,
    );
    await writeFile(file, `${[...lines, ...nodeLines].join('\n')}\n`);
    return start(port, nodeUser, [file]);
  };
  const stop = async (): Promise<void> => {
    const ended = keepers.map((keeper) => new Promise((resolve) => keeper.once('exit', resolve)));
    for (const keeper of keepers) keeper.stdin?.end();
    await Promise.all(ended);
    await rm(folder, { recursive: true, force: true });
  };

  try {
    const master = await startNode();
    const nodes = [master];
    while (nodes.length <= replicas) nodes.push(await startNode(master));
    // A sentinel learns the replicas from the master when it starts, and then every 10 s.
    const isSynchronous = async () => {
      const info = String(await runCommand(master, 'INFO', 'replication'));
      return info.split('state=online').length - 1 === replicas;
    };
    await waitFor('the replicas', isSynchronous, 30_000);
    const sentinels: DataNode[] = [];
    while (sentinels.length < count) {
      const port = await freePort();
      const file = join(folder, `${port}.conf`);
      await writeFile(
        file,
        [
          ...[`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`],
          `sentinel monitor ${NAME} 127.0.0.1 ${master.port} ${Math.floor(count / 2) + 1}`,
          `sentinel down-after-milliseconds ${NAME} ${downAfterMs}`,
          `sentinel failover-timeout ${NAME} 10000`,
          ...sentinelLines,
          '',
        ].join('\n'),
      );
      sentinels.push(await start(port, sentinelUser, [file, '--sentinel']));
    }
    const known = async (sentinel: DataNode) => {
      const reply = await runCommand(sentinel, 'SENTINEL', 'MASTER', NAME).catch(() => []);
      const fields = reply as string[];
      const field = (name: string) => Number(fields[fields.indexOf(name) + 1]);
      return field('num-slaves') === replicas && field('num-other-sentinels') === count - 1;
    };
    for (const sentinel of sentinels) {
      await waitFor('the sentinel to know all others', () => known(sentinel), 30_000);
    }
    return {
      url: `redis-sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${NAME}/0`,
      name: NAME,
      sentinels,
      nodes,
      async master() {
        const [first] = sentinels;
        if (!first) throw new Error('there is no sentinel');
        const reply = await runCommand(first, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME);
        const port = Number((reply as string[])[1]);
        const found = nodes.find((node) => node.port === port);
        if (!found) throw new Error(`the sentinel names an unknown master on port ${port}`);
        return found;
      },
      async failover() {
        const [first] = sentinels;
        if (first) await runCommand(first, 'SENTINEL', 'FAILOVER', NAME);
      },
      command: runCommand,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function runCommand(node: DataNode, name: string, ...args: string[]): Promise<unknown> {
  const redis = new Redis(node.url, {
    ...{ lazyConnect: true, enableReadyCheck: false, maxRetriesPerRequest: 0 },
    ...{ connectTimeout: 1_000, commandTimeout: 5_000, retryStrategy: () => null },
  });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    return await redis.call(name, ...args);
  } finally {
    redis.disconnect();
  }
}
