import { Webhook } from 'standardwebhooks';
import type { components } from './api-types.ts';
import { EphemeraError } from './errors.ts';

/** An event of an instance, in the event stream and in webhooks. */
export type InstanceEvent = components['schemas']['Event'];

/** A webhook request is not from the deployment that has this secret, or is too old. */
export class WebhookError extends EphemeraError {
  override readonly name = 'WebhookError';
}

/** A request of a webhook, as it arrived, and the secret that it must be signed with. */
export interface WebhookRequest {
  /** The body exactly as it arrived, before it is parsed. */
  readonly body: string | Uint8Array;
  /** The headers of the request, of `fetch` or of node:http. */
  readonly headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>;
  /**
   * `secret` of the webhook in the configuration file. While it is rotated: the old and the new one.
   */
  readonly secret: string | readonly string[];
}

/**
 * Verifies a webhook request and returns its event (Standard Webhooks). A timestamp that differs
 * by more than five minutes from the clock is refused. An event may arrive twice: `seq` identifies
 * it.
 * @throws WebhookError
 */
export function verifyWebhook({ body, headers, secret }: WebhookRequest): InstanceEvent {
  const text = typeof body === 'string' ? body : new TextDecoder().decode(body);
  const required = Object.fromEntries(
    ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [
      name,
      headerOf(headers, name),
    ]),
  );
  let reason: unknown = new Error('no secret is given');
  for (const key of [secret].flat()) {
    try {
      return verifierOf(key).verify(text, required) as InstanceEvent;
    } catch (error) {
      reason = error;
    }
  }
  throw new WebhookError(`The webhook request is refused: ${(reason as Error).message}`, {
    cause: reason,
  });
}

/** After `whsec_`, a secret is base64. Any other secret is used as text. */
function verifierOf(secret: string): Webhook {
  return secret.startsWith('whsec_')
    ? new Webhook(secret)
    : new Webhook(new TextEncoder().encode(secret), { format: 'raw' });
}

function headerOf(headers: WebhookRequest['headers'], name: string): string {
  if (headers instanceof Headers) return headers.get(name) ?? '';
  const [, value] = Object.entries(headers).find(([key]) => key.toLowerCase() === name) ?? [];
  return typeof value === 'string' ? value : (value?.join(' ') ?? '');
}
