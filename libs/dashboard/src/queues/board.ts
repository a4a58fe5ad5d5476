import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { KoaAdapter } from '@bull-board/koa';
import { REFILL_QUEUE, SPAWN_QUEUE, WEBHOOK_QUEUE, killQueue } from '@ephemera/queue';
import type { Hosts } from '@ephemera/store';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Middleware } from 'koa';
import { refuseForgery } from './allowed-acts.ts';
import { BOARD_LOOK } from './board-look.ts';
import { jobName, shownData, shownResult } from './describe-job.ts';

export interface Board {
  readonly middleware: Middleware;
  close(): Promise<void>;
}

const ABOUT_SPAWNS = 'Starts instances. Any worker of any host takes the next job.';
const ABOUT_REFILLS = 'Keeps the pools of warm instances filled.';
const ABOUT_WEBHOOKS = 'Tells webhooks of events; what is not received is tried for a day.';
const ABOUT_KILLS =
  'Ends the instances of one host, each delayed to its deadline. A job is a hint: the lease decides.';

/**
 * bull-board below `/queues`, with the queues that all hosts share and the kill queue of every host. A host that
 * came since the last look is there at the next; one that left keeps its queue.
 */
export function createBoard(parts: {
  connection: Redis;
  prefix: string;
  hosts: Pick<Hosts, 'all'>;
}): Board {
  const { connection, prefix, hosts } = parts;
  const queues = new Map<string, Queue>();
  const adapter = new KoaAdapter();
  adapter.setBasePath('/queues');
  const board = createBullBoard({
    queues: [],
    serverAdapter: adapter,
    options: {
      uiConfig: BOARD_LOOK,
      handlerHooks: { before: refuseForgery },
    },
  });
  // Its own handler would tell a client the words of any error; ours is the one funnel.
  adapter.setErrorHandler((error) => {
    throw error;
  });

  const show = (name: string, description: string): void => {
    if (queues.has(name)) return;
    const queue = new Queue(name, { connection, prefix });
    // The connection reports its own faults; a queue only repeats them.
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
      if (ctx.path.startsWith('/queues/api/')) {
        const seen = await hosts.all();
        show(SPAWN_QUEUE, ABOUT_SPAWNS);
        show(REFILL_QUEUE, ABOUT_REFILLS);
        show(WEBHOOK_QUEUE, ABOUT_WEBHOOKS);
        for (const host of seen) show(killQueue(host), ABOUT_KILLS);
      }
      await plugin(ctx, next);
    },
    async close() {
      await Promise.all([...queues.values()].map((queue) => queue.close()));
    },
  };
}
