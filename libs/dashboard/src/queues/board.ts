import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import type { BeforeHook } from '@bull-board/api/typings/app';
import { createBullBoard } from '@bull-board/api';
import { KoaAdapter } from '@bull-board/koa';
import { REFILL_QUEUE, SPAWN_QUEUE, WEBHOOK_QUEUE, killQueue } from '@ephemera/queue';
import type { KillJob, RefillJob, WebhookJob } from '@ephemera/queue';
import type { Hosts } from '@ephemera/store';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Middleware } from 'koa';
import { BOARD_THEME } from './board-theme.ts';

export interface Board {
  readonly middleware: Middleware;
  close(): Promise<void>;
}

const SPAWNS_DESCRIPTION = 'Starts instances. Any worker of any host takes the next job.';
const REFILLS_DESCRIPTION = 'Keeps the pools of warm instances filled.';
const WEBHOOKS_DESCRIPTION =
  'Delivers events to webhooks. Failed deliveries are retried for a day.';
const KILLS_DESCRIPTION =
  'Ends the instances of one host, each delayed to its deadline. A job is a hint: the lease decides.';

/**
 * bull-board below `/dashboard/queues`: the shared queues and the kill queue of every host. Each
 * API request reads the hosts, so that new ones appear. The queue of a removed host stays.
 */
export function createBoard(parts: {
  connection: Redis;
  prefix: string;
  hosts: Pick<Hosts, 'all'>;
}): Board {
  const { connection, prefix, hosts } = parts;
  const queues = new Map<string, Queue>();
  const adapter = new KoaAdapter();
  adapter.setBasePath('/dashboard/queues');
  const board = createBullBoard({
    queues: [],
    serverAdapter: adapter,
    options: {
      uiConfig: BOARD_THEME,
      handlerHooks: { before: refuseForgery },
    },
  });
  // bull-board's own handler would send the message of any error to the client.
  adapter.setErrorHandler((error) => {
    throw error;
  });

  const show = (name: string, description: string): void => {
    if (queues.has(name)) return;
    const queue = new Queue(name, { connection, prefix });
    // The connection reports its own errors; a queue only repeats them.
    queue.on('error', () => undefined);
    queues.set(name, queue);
    const shown = new BullMQAdapter(queue, { description });
    shown.setFormatter('name', jobName);
    shown.setFormatter('data', shownData);
    shown.setFormatter('returnValue', shownResult);
    board.addQueue(shown);
  };

  const plugin = adapter.registerPlugin();
  return {
    async middleware(ctx, next) {
      if (ctx.path.startsWith('/dashboard/queues/api/')) {
        const seen = await hosts.all();
        show(SPAWN_QUEUE, SPAWNS_DESCRIPTION);
        show(REFILL_QUEUE, REFILLS_DESCRIPTION);
        show(WEBHOOK_QUEUE, WEBHOOKS_DESCRIPTION);
        for (const host of seen) show(killQueue(host), KILLS_DESCRIPTION);
      }
      await plugin(ctx, next);
    },
    async close() {
      await Promise.all([...queues.values()].map((queue) => queue.close()));
    },
  };
}

/**
 * The allowed actions on jobs. All are safe, because a kill reads the lease when it runs, and
 * reconciliation repairs the rest. A promoted kill delays itself again. A deleted one is scheduled
 * again. Overdue instances are ended even while their queue is paused.
 */
const ALLOWED = new Set(
  [
    '/:jobId/retry',
    '/:jobId/promote',
    '/:jobId/clean',
    '/retry/:queueStatus',
    '/promote',
    '/clean/:queueStatus',
    '/pause',
    '/resume',
  ].map((action) => `/api/queues/:queueName${action}`),
);

/** Refuses to create jobs, to change their data, and to delete a queue. */
const refuseForgery: BeforeHook = ({ method, route }) => {
  const allowed =
    method === 'get' || ALLOWED.has(route) || /^\/api\/queues\/(pause|resume)$/.test(route);
  if (allowed) return;
  return {
    allow: false,
    status: 403,
    message: 'The dashboard cannot create jobs, change their data, or delete a queue.',
  };
};

/** The displayed fields of a webhook delivery. */
interface ShownJob {
  readonly webhook: string;
  readonly type: string;
}

/** Returns the displayed name of a job: its object and, for a kill, its due time. */
export function jobName({ name, data }: { name: string; data: unknown }): string {
  const shown = shownData(data) as Partial<KillJob & RefillJob & ShownJob>;
  const { webhook, type, id, template, dueAt } = shown;
  const parts = [name, webhook, type, id, template, dueAt && `due ${dueAt}`];
  return parts.filter(Boolean).join(' · ');
}

/** Returns the fields of a job that are displayed. Other fields may hold secrets. */
export function shownData(data: unknown): Record<string, unknown> {
  const { webhook, event } = (data ?? {}) as Partial<WebhookJob>;
  if (event) return { webhook, ...only(['type', 'id', 'reason', 'template', 'seq'], event) };
  return only(['id', 'generation', 'dueAt', 'template', 'entry'], data);
}

export function shownResult(result: unknown): unknown {
  return result === null ? null : only(['kind', 'reason', 'message', 'status'], result);
}

function only(names: readonly string[], input: unknown): Record<string, unknown> {
  if (typeof input !== 'object' || input === null) return {};
  return Object.fromEntries(Object.entries(input).filter(([name]) => names.includes(name)));
}
