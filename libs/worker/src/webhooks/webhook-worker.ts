import { toEventResource } from '@ephemera/contract';
import type { Webhook } from '@ephemera/domain';
import { WEBHOOK_QUEUE } from '@ephemera/queue';
import type { WebhookJob } from '@ephemera/queue';
import type { Worker } from 'bullmq';
import { startJobWorker } from '../job-worker.ts';
import type { QueueWorkerOptions } from '../spawn-worker.ts';
import type { Deliver, Delivery } from './deliver.ts';

/**
 * Processes webhook deliveries. A job names its webhook; URL and secret come from the
 * configuration.
 */
export function startWebhookWorker(
  webhooks: readonly Webhook[],
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
      const webhook = webhooks.find((item) => item.name === name);
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
