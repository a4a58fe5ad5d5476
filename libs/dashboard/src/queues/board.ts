import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { KoaAdapter } from '@bull-board/koa';
import { REFILL_QUEUE, SPAWN_QUEUE, WEBHOOK_QUEUE, killQueue } from '@ephemera/queue';
import type { Hosts } from '@ephemera/store';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Middleware } from 'koa';
import { refuseForgery } from './allowed-actions.ts';
import { BOARD_THEME } from './board-theme.ts';
import { jobName, shownData, shownResult } from './describe-job.ts';

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
