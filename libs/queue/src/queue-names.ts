/** The queue of spawn jobs; any worker of any host takes them. */
export const SPAWN_QUEUE = 'instance-spawn';

/** The queue of the jobs that keep the pools filled; any worker of any host takes them. */
export const REFILL_QUEUE = 'pool-refill';

/** The queue of what is to be told to webhooks; any worker that knows them takes it. */
export const WEBHOOK_QUEUE = 'webhook';

/** The queue of the kill jobs of one host: only a worker beside its daemon can do them. */
export function killQueue(host: string): string {
  return `instance-kill-${host}`;
}
