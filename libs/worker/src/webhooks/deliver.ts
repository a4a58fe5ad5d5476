import type { EventResource } from '@ephemera/contract';
import type { Webhook } from '@ephemera/domain';
import { Webhook as Signer } from 'standardwebhooks';

export interface Delivery {
  /** How long the receiver may take to answer, ms. */
  readonly timeoutMs: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/**
 * Sends one event. Only a 2xx counts as received; a redirect is none, for what is signed for one
 * receiver is nobody else's.
 * @throws Error that says why not, without the URL
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
  // Whatever else it has to say is not read.
  await answer.body?.cancel().catch(() => undefined);
  if (!answer.ok) throw new Error(`the receiver answered ${answer.status}`);
  return answer.status;
}

/** Base64 after `whsec_`, as receivers' libraries expect it; any other secret is used as it is. */
function signerOf(secret: string): Signer {
  return secret.startsWith('whsec_') ? new Signer(secret) : new Signer(secret, { format: 'raw' });
}

function reasonOf(error: unknown): string {
  const { name, cause } = error as { name?: string; cause?: { code?: string } };
  return cause?.code ?? name ?? 'unknown';
}

export type Deliver = typeof deliver;
