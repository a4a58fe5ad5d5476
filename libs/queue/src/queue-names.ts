/** The queue of spawn jobs, served by every worker. */
export const SPAWN_QUEUE = 'instance-spawn';

/** The queue of pool refill jobs, served by every worker. */
export const REFILL_QUEUE = 'pool-refill';

/** The queue of webhook deliveries, served by every worker that has webhooks configured. */
export const WEBHOOK_QUEUE = 'webhook';

/**
 * The queue of the kill jobs of one host. Only workers of that host can reach its Docker daemon.
 */
export function killQueue(host: string): string {
  return `instance-kill-${host}`;
}
