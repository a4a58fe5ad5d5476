import { setTimeout as sleep } from 'node:timers/promises';
import { isSubscribed } from '@ephemera/domain';
import type { InstanceEvent, Webhook } from '@ephemera/domain';
import type { Deliveries } from '@ephemera/queue';
import type { Logger } from '@ephemera/process';
import type { EventGroup } from '@ephemera/store';

/** How long to wait for the next event before checking for abandoned ones, ms. */
const READ_TIMEOUT_MS = 5_000;
/** Age at which an event that another worker has read, but not queued, counts as abandoned, ms. */
const ABANDONED_AFTER_MS = 15_000;
const RETRY_DELAY_MS = 1_000;
/** Idle time after which a reader counts as dead, and the interval of this check, ms. */
const READER_TIMEOUT_MS = 60_000;

/**
 * Queues a delivery for every event that a webhook subscribes to, until `signal` aborts. The
 * workers share the events, and take over those that a dead worker has read. The position of the
 * event is part of the job id, so that no delivery is queued twice.
 */
export async function queueDeliveries(
  ports: { webhooks: readonly Webhook[]; events: EventGroup; deliveries: Deliveries },
  { signal, logger }: { signal: AbortSignal; logger: Logger },
): Promise<void> {
  const { events } = ports;
  const isStopping = () => signal.aborted;
  let checkedAt = -Infinity;
  while (!isStopping()) {
    try {
      await events.ensure();
      await queueAll(ports, await events.takeOver(ABANDONED_AFTER_MS));
      if (performance.now() - checkedAt > READER_TIMEOUT_MS) {
        checkedAt = performance.now();
        await events.forgetIdle(READER_TIMEOUT_MS);
      }
      await queueAll(ports, await events.take(READ_TIMEOUT_MS));
    } catch (error) {
      if (isStopping()) return;
      logger.warn({ err: error }, 'events could not be read for webhooks');
      await sleep(RETRY_DELAY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

async function queueAll(
  { webhooks, events, deliveries }: Parameters<typeof queueDeliveries>[0],
  taken: readonly InstanceEvent[],
): Promise<void> {
  const jobs = taken.flatMap((event) =>
    webhooks
      .filter((webhook) => isSubscribed(webhook, event))
      .map(({ name }) => ({ webhook: name, event })),
  );
  await deliveries.add(jobs);
  await events.done(taken);
}
