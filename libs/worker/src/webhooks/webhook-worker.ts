import { toEventResource } from '@ephemera/contract';
import type { Webhook } from '@ephemera/domain';
import { WEBHOOK_QUEUE } from '@ephemera/queue';
import type { WebhookJob } from '@ephemera/queue';
import type { Worker } from 'bullmq';
import { startJobWorker } from '../job-worker.ts';
import type { QueueWorkerOptions } from '../spawn-worker.ts';
import type { Deliver, Delivery } from './deliver.ts';

/** Works off the deliveries. A job names its webhook: where to and the secret are not in it. */
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
      // Another worker may have the newer configuration, or the older one: it will have its turn.
      if (!webhook) throw new Error(`no webhook is named ${name} here`);
      const status = await deliver(webhook, toEventResource(event), delivery);
      const { id, type, seq } = event;
      logger.info({ id, type, seq, webhook: name, attempt: attemptsStarted }, 'webhook delivered');
      return { status };
    },
    options,
  );
}
