import { setTimeout as sleep } from 'node:timers/promises';
import { isSubscribed } from '@ephemera/domain';
import type { InstanceEvent, Webhook } from '@ephemera/domain';
import type { Deliveries } from '@ephemera/queue';
import type { Logger } from '@ephemera/process';
import type { EventGroup } from '@ephemera/store';

/** How long to wait for the next event before looking for what others left behind, ms. */
const WAIT = 5_000;
/** When what another worker has taken and not put into the queue counts as left behind, ms. */
const LEFT_BEHIND = 15_000;
const RETRY_DELAY_MS = 1_000;
/** How long a reader asks for nothing until it counts as dead, and how often they are looked for, ms. */
const DEAD = 60_000;

/**
 * Puts a delivery into the queue for every event that a webhook wants, until `signal` aborts.
 * The workers share the events, and take over what one of them that died had taken. A delivery
 * has the event's place as its id, so putting it in twice is putting it in once.
 */
export async function queueDeliveries(
  ports: { webhooks: readonly Webhook[]; events: EventGroup; deliveries: Deliveries },
  { signal, logger }: { signal: AbortSignal; logger: Logger },
): Promise<void> {
  const { events } = ports;
  const isStopping = () => signal.aborted;
  let lookedAt = -Infinity;
  while (!isStopping()) {
    try {
      await events.ensure();
      await queueAll(ports, await events.takeOver(LEFT_BEHIND));
      if (performance.now() - lookedAt > DEAD) {
        lookedAt = performance.now();
        await events.forgetIdle(DEAD);
      }
      await queueAll(ports, await events.take(WAIT));
    } catch (error) {
      if (isStopping()) return;
      logger.warn({ err: error }, 'events could not be taken for webhooks');
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
