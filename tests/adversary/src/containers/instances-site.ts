import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Route } from '@ephemera/domain';
import { type Child, freePort, startChild, waitFor } from '@ephemera/test-support';
import { type Fence, entryWithout } from '../churn/fences.ts';
import { type Relay, startRelay } from '../churn/relay.ts';
import { type Testbed, type Replica, startTestbed } from '../testbed.ts';
import { OWN_ID } from './own-id.ts';

const REPLICAS = 3;
const TIMEOUT_MS = 60_000;
const ENDED: readonly Route['state'][] = ['gone', 'failed'];
const removeAll = new URL('../../../../apps/worker/src/remove-all.ts', import.meta.url).pathname;

/** The product's own worker on the machine's Docker daemon, and replicas for the disturbances. */
export interface InstancesSite {
  readonly testbed: Testbed;
  readonly replicas: readonly Replica[];
  readonly relays: readonly Relay[];
  /** Starts an instance and waits for it; undefined if it did not become ready. */
  create(timeoutSeconds: number): Promise<{ id: string; address: string } | undefined>;
  /** Requests the end of an instance, without waiting for it. */
  end(id: string): Promise<void>;
  /** Waits until the container of an ending instance is removed, or the signal aborts. */
  gone(id: string, signal: AbortSignal): Promise<void>;
  /** Returns the log of an ended instance. */
  readLog(id: string): Promise<string>;
  /** Throws if a process has exited. */
  check(): void;
  stop(): Promise<void>;
}

/**
 * @param removed the fences that the replicas run without
 * The worker runs without its address sequence: Docker assigns the lowest free address.
 */
export async function startInstancesSite(removed: readonly Fence[]): Promise<InstancesSite> {
  const testbed = await startTestbed(OWN_ID);
  const children: Child[] = [];
  const relays: Relay[] = [];
  const env = {
    EPHEMERA_REDIS_URL: `redis://127.0.0.1:${testbed.redisPort}/0`,
    EPHEMERA_NAMESPACE: testbed.namespace,
    EPHEMERA_CONFIG: testbed.config,
    EPHEMERA_FIREWALL: 'off',
  };
  const removeNow = () => void spawnSync('/usr/bin/env', inEnvironment([removeAll], env));
  const stop = async () => {
    for (const relay of relays) relay.release();
    await Promise.all(children.map((child) => child.stop()));
    const removal = startHere([removeAll], env);
    const code = await removal.exit();
    await testbed.stop();
    for (const relay of relays) relay.stop();
    if (code !== 0)
      throw new Error(`the deployment was not removed from the Docker daemon:\n${removal.log()}`);
    process.off('exit', removeNow);
  };
  try {
    const workerPort = await freePort();
    const worker = startHere(entryWithout('worker', ['addresses']), {
      ...env,
      EPHEMERA_WORKER_PORT: String(workerPort),
    });
    children.push(worker);
    const isEnded = () => worker.ended() !== undefined;
    const isReady = async () =>
      isEnded() || (await fetch(`http://127.0.0.1:${workerPort}/readyz`)).ok;
    await waitFor('the worker to be ready', isReady, TIMEOUT_MS).catch((error: unknown) => {
      throw new Error(`the worker is not ready:\n${worker.log()}`, { cause: error });
    });
    if (isEnded()) throw new Error(`the worker ended:\n${worker.log()}`);
    const replicas: Replica[] = [];
    for (let i = 0; i < REPLICAS; i++) {
      const relay = await startRelay(testbed.redisPort);
      relays.push(relay);
      const entry = entryWithout('proxy', removed);
      replicas.push(await testbed.replica({ entry, redisPort: relay.port }));
    }
    // A replica without disturbances, for the control API.
    const token = randomBytes(24).toString('base64url');
    const control = await testbed.replica({ env: { EPHEMERA_ADMIN_TOKEN: token } });
    // Also if a signal ends the run: containers would outlive its processes.
    process.once('exit', removeNow);
    const ask = (method: string, path: string, more: { body?: string; prefer?: string } = {}) =>
      fetch(`http://127.0.0.1:${control.adminPort}/v1/instances${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          ...(more.prefer !== undefined && { prefer: more.prefer }),
        },
        ...(more.body !== undefined && { body: more.body }),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    return {
      testbed,
      replicas,
      relays,
      async create(timeout) {
        const answer = await ask('POST', '', {
          body: JSON.stringify({ template: 'demo', timeout }),
          prefer: 'wait=30',
        });
        const { id } = (await answer.json()) as { id?: string };
        if (answer.status !== 201 || id === undefined) return undefined;
        const route = await testbed.redis.get(testbed.keys.route(id));
        const { address } = JSON.parse(route ?? '{}') as { address?: string };
        return address === undefined ? undefined : { id, address };
      },
      async end(id) {
        await (await ask('DELETE', `/${id}`)).arrayBuffer();
      },
      async gone(id, signal) {
        while (!signal.aborted) {
          const route = await testbed.redis.get(testbed.keys.route(id));
          if (route === null || ENDED.includes((JSON.parse(route) as Route).state)) return;
          await sleep(20);
        }
      },
      async readLog(id) {
        const answer = await ask('GET', `/${id}/logs`);
        const log = await answer.text();
        return answer.ok ? log : '';
      },
      check() {
        for (const child of [worker, control, ...replicas]) {
          if (child.ended() !== undefined) throw new Error(`a process ended:\n${child.log()}`);
        }
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

type Settings = Readonly<Record<string, string>>;

/** Starts a program of the product in this environment, which contains DOCKER_HOST. */
function startHere(args: readonly string[], env: Settings): Child {
  return startChild('/usr/bin/env', inEnvironment(args, env));
}

function inEnvironment(args: readonly string[], env: Settings): string[] {
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return [...settings, process.execPath, ...args];
}
