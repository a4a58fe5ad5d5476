import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { toEventResource } from '@ephemera/contract';
import type { EventResource } from '@ephemera/contract';
import { isSubscribed } from '@ephemera/domain';
import type { Webhook, InstanceEvent } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import { createDeliveries, WEBHOOK_QUEUE } from '@ephemera/queue';
import type { Deliveries, Queued, WebhookJob } from '@ephemera/queue';
import { redisEventGroup } from '@ephemera/store';
import type { Keys, EventGroup } from '@ephemera/store';
import type { Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { Webhook as Signer } from 'standardwebhooks';
import { startJobWorker } from './job-worker.ts';
import {
  ABANDONED_AFTER_MS,
  DELIVERY_TIMEOUT_MS,
  READER_TIMEOUT_MS,
  READ_TIMEOUT_MS,
} from './limits.ts';
import type { QueueWorkerOptions } from './spawn-worker.ts';

export interface WebhookParts {
  /** Returns the current webhooks. They may change at any time. */
  readonly webhooks: () => readonly Webhook[];
  readonly redis: Redis;
  /** A separate connection with the profile `watch`, for blocking reads. */
  readonly blocking: Redis;
  readonly keys: Keys;
  readonly logger: Logger;
  /** Called for each delivery that the full queue does not take. */
  readonly onDropped: (webhook: string) => void;
}

const CONCURRENCY = 20;

/** The parts of webhook delivery. Tests wrap or replace some of them. */
export interface WebhookDependencies {
  readonly createDeliveries: typeof createDeliveries;
  readonly createEventGroup: typeof redisEventGroup;
  readonly deliver: typeof deliver;
  readonly startJobWorker: typeof startJobWorker;
}

export const webhookDependencies: WebhookDependencies = {
  createDeliveries,
  createEventGroup: redisEventGroup,
  deliver,
  startJobWorker,
};

/**
 * Delivers all events after its return to the webhooks. Returns a function that stops it after the
 * current deliveries.
 */
export async function startWebhooks(
  parts: WebhookParts,
  dependencies: WebhookDependencies = webhookDependencies,
): Promise<() => Promise<void>> {
  const { webhooks, redis, blocking, keys, logger, onDropped } = parts;
  const deliveries = dependencies.createDeliveries(redis, keys.queuePrefix);
  const events = dependencies.createEventGroup({ redis, blocking }, keys, 'webhooks', randomUUID());
  await events.ensure();
  const stopping = new AbortController();
  const { signal } = stopping;
  const feeding = queueDeliveries(
    { webhooks, events, deliveries, onDropped: logDrops(logger, onDropped) },
    { signal, logger },
  );
  const worker = startWebhookWorker(
    webhooks,
    { timeoutMs: DELIVERY_TIMEOUT_MS, now: Date.now, deliver: dependencies.deliver },
    {
      connection: redis,
      prefix: keys.queuePrefix,
      concurrency: CONCURRENCY,
      logger,
      startJobWorker: dependencies.startJobWorker,
    },
  );
  return async () => {
    stopping.abort();
    blocking.disconnect();
    await feeding;
    await worker.close();
    await deliveries.close();
  };
}

const RETRY_DELAY_MS = 1_000;

/**
 * Runs the delivery while there are webhooks. A worker without webhooks leaves the events to workers
 * that have some. Call `update` after each change of the webhooks.
 * @param start starts the delivery and returns the function that stops it
 */
export function keepDelivery(
  webhooks: () => readonly Webhook[],
  start: () => Promise<() => Promise<void>>,
): { update(): Promise<void>; stop(): Promise<void> } {
  let isStopped = false;
  let stopDelivery: (() => Promise<void>) | undefined;
  const apply = async (): Promise<void> => {
    const isNeeded = !isStopped && webhooks().length > 0;
    if (isNeeded && !stopDelivery) stopDelivery = await start();
    if (isNeeded || !stopDelivery) return;
    const stop = stopDelivery;
    stopDelivery = undefined;
    await stop();
  };
  // One after the other: a start and a stop must not overlap.
  let last = Promise.resolve();
  const update = (): Promise<void> => {
    const applied = last.then(apply);
    last = applied.catch(() => undefined);
    return applied;
  };
  return {
    update,
    stop() {
      isStopped = true;
      return update();
    },
  };
}

/**
 * Queues a delivery for every event that a webhook subscribes to, until `signal` aborts. The
 * workers share the events, and take over those that a dead worker has read. The position of the
 * event is part of the job id, so that no delivery is queued twice.
 */
async function queueDeliveries(
  ports: {
    webhooks: () => readonly Webhook[];
    events: EventGroup;
    deliveries: Deliveries;
    onDropped: (queued: Queued) => void;
  },
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
  { webhooks, events, deliveries, onDropped }: Parameters<typeof queueDeliveries>[0],
  taken: readonly InstanceEvent[],
): Promise<void> {
  const jobs = taken.flatMap((event) =>
    webhooks()
      .filter((webhook) => isSubscribed(webhook, event))
      .map(({ name }) => ({ webhook: name, event })),
  );
  onDropped(await deliveries.add(jobs));
  await events.done(taken);
}

const DROP_LOG_INTERVAL_MS = 10_000;

/** Logs at most once per interval that the queue is full or nearly full. */
function logDrops(logger: Logger, onDropped: (webhook: string) => void) {
  let loggedAt = -Infinity;
  let dropped = 0;
  return (queued: Queued): void => {
    for (const { webhook } of queued.dropped) onDropped(webhook);
    dropped += queued.dropped.length;
    const isDue = performance.now() - loggedAt > DROP_LOG_INTERVAL_MS;
    if (!isDue || (dropped === 0 && !queued.isNearlyFull)) return;
    loggedAt = performance.now();
    const webhooks = [...new Set(queued.dropped.map(({ webhook }) => webhook))];
    logger.warn(
      { dropped, webhooks },
      'the queue of webhook deliveries is nearly full or full; check the receivers',
    );
    dropped = 0;
  };
}

/**
 * Processes webhook deliveries. A job names its webhook; URL and secret come from the
 * configuration.
 */
function startWebhookWorker(
  webhooks: () => readonly Webhook[],
  { deliver, ...delivery }: Delivery & { readonly deliver: Deliver },
  {
    startJobWorker: start = startJobWorker,
    ...options
  }: Omit<QueueWorkerOptions, 'metrics' | 'finishTimeoutMs'> & { readonly concurrency: number },
): Worker {
  const { logger } = options;
  return start<WebhookJob, { status: number }>(
    WEBHOOK_QUEUE,
    async ({ data, attemptsStarted }) => {
      const { webhook: name, event } = data;
      const webhook = webhooks().find((item) => item.name === name);
      // During a configuration change, another worker may know the webhook. A retry can reach it.
      if (!webhook) throw new Error(`this worker has no webhook named ${name}`);
      const status = await deliver(webhook, toEventResource(event), delivery);
      const { id, type, seq } = event;
      logger.info({ id, type, seq, webhook: name, attempt: attemptsStarted }, 'webhook delivered');
      return { status };
    },
    options,
  );
}

export interface Delivery {
  /** Timeout of the delivery, ms. */
  readonly timeoutMs: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/**
 * Sends one event. Only a 2xx status counts as received. Redirects are not followed, because the
 * signature is meant for one receiver.
 * @throws Error with the reason, without the URL
 */
export async function deliver(
  { url, secret }: Webhook,
  event: EventResource,
  { timeoutMs, now }: Delivery,
): Promise<number> {
  const body = JSON.stringify(event);
  const sentAt = now();
  const answer = await fetch(url, {
    method: 'POST',
    body,
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
    headers: {
      'content-type': 'application/json',
      'user-agent': 'Ephemera',
      'webhook-id': event.seq,
      'webhook-timestamp': String(Math.floor(sentAt / 1000)),
      'webhook-signature': signerOf(secret).sign(event.seq, new Date(sentAt), body),
    },
  }).catch((error: unknown) => {
    throw new Error(`the receiver did not answer: ${reasonOf(error)}`, { cause: error });
  });
  // The response body is not needed.
  await answer.body?.cancel().catch(() => undefined);
  if (!answer.ok) throw new Error(`the receiver answered ${answer.status}`);
  return answer.status;
}

/**
 * After `whsec_`, a secret is base64, as in Standard Webhooks. Any other secret is used as text.
 */
function signerOf(secret: string): Signer {
  return secret.startsWith('whsec_')
    ? new Signer(secret)
    : new Signer(Buffer.from(secret), { format: 'raw' });
}

function reasonOf(error: unknown): string {
  const { name, cause } = error as { name?: string; cause?: { code?: string } };
  return cause?.code ?? name ?? 'unknown';
}

export type Deliver = typeof deliver;
