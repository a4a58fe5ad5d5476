import type { EventResource } from '@ephemera/contract';
import type { Webhook } from '@ephemera/domain';
import { sign } from './sign.ts';

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
  const answer = await fetch(url, {
    method: 'POST',
    body,
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
    headers: {
      'content-type': 'application/json',
      'user-agent': 'Ephemera',
      'ephemera-event': event.type,
      'ephemera-delivery': event.seq,
      'ephemera-signature': sign(secret, body, Math.floor(now() / 1000)),
    },
  }).catch((error: unknown) => {
    throw new Error(`the receiver did not answer: ${reasonOf(error)}`);
  });
  // Whatever else it has to say is not read.
  await answer.body?.cancel().catch(() => undefined);
  if (!answer.ok) throw new Error(`the receiver answered ${answer.status}`);
  return answer.status;
}

function reasonOf(error: unknown): string {
  const { name, cause } = error as { name?: string; cause?: { code?: string } };
  return cause?.code ?? name ?? 'unknown';
}
