import type { EventResource } from '@ephemera/contract';
import type { Webhook } from '@ephemera/domain';
import { Webhook as Signer } from 'standardwebhooks';

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
    throw new Error(`the receiver did not answer: ${reasonOf(error)}`);
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
  return secret.startsWith('whsec_') ? new Signer(secret) : new Signer(secret, { format: 'raw' });
}

function reasonOf(error: unknown): string {
  const { name, cause } = error as { name?: string; cause?: { code?: string } };
  return cause?.code ?? name ?? 'unknown';
}

export type Deliver = typeof deliver;
