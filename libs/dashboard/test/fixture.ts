import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Instance, InstanceDraft } from '@ephemera/domain';
import type { RouteDeclaration } from '@ephemera/contract';
import { routesOf } from '@ephemera/http';
import { kill } from '@ephemera/lifecycle';
import type { HostReply, HostRequest } from '@ephemera/lifecycle';
import { createProducers, killQueue } from '@ephemera/queue';
import type { KillJob, Producers } from '@ephemera/queue';
import { createTokens, hashToken } from '@ephemera/http';
import { createLogger, listen } from '@ephemera/process';
import type { ConfigIssue, TemplateSet, TokenEntries } from '@ephemera/config';
import { connectRedis, createStore, keysOf } from '@ephemera/store';
import type { Hosts, InstanceStore } from '@ephemera/store';
import { sampleDraft, sampleTemplate, startRedis } from '@ephemera/test-support';
import type { StartedRedis } from '@ephemera/test-support';
import { Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { dashboardApp } from '../src/dashboard.ts';
import { createBoard } from '../src/queues/board.ts';

export const TOKEN = 'correct-horse-battery-staple';
export const READER = 'a-read-only-token-of-a-test';
/** A token that starts instances: it reads everything, and changes its own ones. */
export const CREATOR = 'a-token-that-starts-instances';
export const BEARER = { authorization: `Bearer ${TOKEN}` };

/** Lives long enough for a test, and has secrets that no page may show. */
const TEMPLATE = sampleTemplate({
  timeout: 1_800_000,
  maxTimeout: 7_200_000,
  env: { TEMPLATE_SECRET: 'hidden-in-the-template' },
});

export interface Fixture {
  readonly url: string;
  /** All routes mounted on the app. */
  readonly routes: readonly RouteDeclaration[];
  readonly store: StartedRedis;
  readonly redis: Redis;
  readonly instances: InstanceStore;
  readonly hosts: Hosts;
  readonly producers: Producers;
  readonly queuePrefix: string;
  /**
   * Creates an instance in the state in which a worker of `host` leaves it: ready, with a delayed
   * kill job.
   */
  startInstance(host: string, draft?: Partial<InstanceDraft>): Promise<Instance>;
  /** Creates an instance that no worker has started. */
  draftInstance(draft?: Partial<InstanceDraft>): Promise<Instance>;
  /** Processes the kill jobs of a host from now on, without containers. */
  workKills(host: string): void;
  /** The log lines of the dashboard. */
  readonly log: readonly string[];
  clearLog(): void;
  stop(): Promise<void>;
}

/** What the workers of every host reply. Tests may change it. Undefined: none replies. */
export const host: { reply(request: HostRequest): HostReply<unknown> | undefined } = {
  reply: () => undefined,
};

/** The present errors of the configuration file. Tests may change them. */
export const configIssues: ConfigIssue[] = [];

/** The configuration file. Tests may change it. */
export const configFile: { current: TemplateSet | undefined; issues: ConfigIssue[] } = {
  current: undefined,
  issues: configIssues,
};

/** Tokens in addition to the admin token, as in the configuration. Tests may change them. */
export const entries: Record<string, TokenEntries[string]> = {
  looker: { hash: [hashToken(READER)], scopes: ['read'] },
  ci: { hash: [hashToken(CREATOR)], scopes: ['read', 'create'] },
};

/**
 * A dashboard over HTTP with a real Redis and real jobs, but without Docker.
 * @param names the host names that it answers to
 */
export async function openDashboard(names: readonly string[] = []): Promise<Fixture> {
  const store = await startRedis();
  const keys = keysOf('dashboardtest');
  const redis = connectRedis(store.url, 'request', () => undefined);
  await new Promise((resolve) => redis.once('ready', resolve));
  const ports = createStore(redis, keys, 60_000);
  const { instances, hosts } = ports;
  const producers = createProducers(redis, keys.queuePrefix);
  const board = createBoard({ connection: redis, prefix: keys.queuePrefix, hosts });
  const log: string[] = [];
  const workers: { worker: Worker; connection: Redis }[] = [];

  const app = dashboardApp({
    redis,
    keys,
    store: ports,
    hostRpc: { request: (_, request) => Promise.resolve(host.reply(request) as never) },
    jobs: producers,
    board: board.middleware,
    tokens: createTokens(TOKEN, () => entries),
    configFile,
    sessionKey: TOKEN,
    stopping: () => false,
    names,
    checkResponses: true,
    trustedProxies: ['127.0.0.0/8'],
    logger: createLogger('dashboard', 'info', { write: (line) => void log.push(line) }),
  });
  const handle = app.callback();
  const server = createServer((req, res) => void handle(req, res));
  // fetch may reuse a connection at the moment in which the server closes it.
  server.keepAliveTimeout = 600_000;
  const port = await listen(server, { host: '127.0.0.1', port: 0 });

  const draftInstance = (draft: Partial<InstanceDraft> = {}): Promise<Instance> =>
    instances.create(
      sampleDraft({ template: TEMPLATE, env: { SECRET: 'hidden-in-the-instance' }, ...draft }),
    );

  return {
    url: `http://127.0.0.1:${port}`,
    routes: routesOf(app).flatMap((mounted) => mounted.declarations),
    store,
    redis,
    instances,
    hosts,
    producers,
    log,
    clearLog: () => void log.splice(0),
    queuePrefix: keys.queuePrefix,
    draftInstance,
    async startInstance(host, draft) {
      const { id, generation, timeout } = await draftInstance(draft);
      await hosts.heartbeat(host, await instances.now());
      await instances.assignToHost(id, generation, host);
      await producers.killJobs.schedule({ id, generation, host }, timeout);
      await instances.markReady(id, generation, '10.231.1.1');
      const instance = await instances.get(id);
      if (!instance) throw new Error(`instance ${id} is not in the store`);
      return instance;
    },
    workKills(host) {
      const connection = connectRedis(store.url, 'job', () => undefined);
      const absent = () => Promise.reject(new Error('no Docker here'));
      const containers = {
        pauseContainer: absent,
        unpauseContainer: absent,
        removeInstance: () => Promise.resolve(),
      };
      const worker = new Worker<KillJob>(
        killQueue(host),
        async ({ data }) => {
          const ports = { instances, containers, killJobs: producers.killJobs };
          let killed = await kill(ports, data.id, 'due');
          // The job is scheduled before its instance is ready, so it may run a moment early.
          while (killed.kind === 'leased') {
            await sleep(killed.remaining);
            killed = await kill(ports, data.id, 'due');
          }
          return killed.kind === 'killed'
            ? { kind: killed.kind, reason: killed.instance.reason }
            : { kind: killed.kind };
        },
        { connection, prefix: keys.queuePrefix },
      );
      worker.on('error', () => undefined);
      workers.push({ worker, connection });
    },
    async stop() {
      for (const { worker, connection } of workers) {
        await worker.close();
        connection.disconnect();
      }
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await board.close();
      await producers.close();
      redis.disconnect();
      await store.stop();
    },
  };
}

/** The Accept header of a browser navigation. */
export const HTML = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

/** Posts a form like a page of the dashboard. Redirects are not followed. */
export function postForm(
  url: string,
  fields: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    redirect: 'manual',
    headers: { ...HTML, origin: new URL(url).origin, ...headers },
    body: new URLSearchParams(fields),
  });
}

/** Logs in and returns the `Cookie` header of the session. */
export async function signIn(url: string, token = TOKEN): Promise<string> {
  const answer = await postForm(`${url}/dashboard/login`, { token });
  return answer.headers.getSetCookie()[0]?.split(';')[0] ?? '';
}
