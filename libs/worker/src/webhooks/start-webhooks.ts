import { randomUUID } from 'node:crypto';
import type { Webhook } from '@ephemera/domain';
import { createDeliveries } from '@ephemera/queue';
import type { Logger } from '@ephemera/process';
import { redisEventGroup } from '@ephemera/store';
import type { Keys } from '@ephemera/store';
import type { Redis } from 'ioredis';
import { startJobWorker } from '../job-worker.ts';
import { deliver } from './deliver.ts';
import { queueDeliveries } from './queue-deliveries.ts';
import { startWebhookWorker } from './webhook-worker.ts';

export interface WebhookParts {
  readonly webhooks: readonly Webhook[];
  readonly redis: Redis;
  /** A separate connection with the profile `watch`, for blocking reads. */
  readonly blocking: Redis;
  readonly keys: Keys;
  readonly logger: Logger;
}

/** Timeout of a delivery, ms. */
const TIMEOUT_MS = 10_000;
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
  const { webhooks, redis, blocking, keys, logger } = parts;
  const deliveries = dependencies.createDeliveries(redis, keys.queuePrefix);
  const events = dependencies.createEventGroup({ redis, blocking }, keys, 'webhooks', randomUUID());
  await events.ensure();
  const stopping = new AbortController();
  const { signal } = stopping;
  const feeding = queueDeliveries({ webhooks, events, deliveries }, { signal, logger });
  const worker = startWebhookWorker(
    webhooks,
    { timeoutMs: TIMEOUT_MS, now: Date.now, deliver: dependencies.deliver },
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
