import { EVENT_TYPES } from '@ephemera/domain';
import type { Issue, Webhook } from '@ephemera/domain';
import { z } from 'zod';
import { ConfigError } from './environment.ts';

/** What is wrong with a secret; undefined if nothing is. */
function secretIssue(secret: string): string | undefined {
  if (secret.length < 16) return 'must have at least 16 characters';
  const isBase64 = /^whsec_(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
  if (secret.startsWith('whsec_') && !isBase64.test(secret)) {
    return 'must be base64 after "whsec_" (see standardwebhooks.com)';
  }
  return undefined;
}

/** One webhook of the file. */
export const webhookSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,40}$/, 'names are lowercase letters, digits and hyphens')
      .describe('Name in jobs and logs. Must be unique.'),
    url: z
      .url({ protocol: /^https?$/, error: 'must be an http:// or https:// address' })
      .describe('URL that receives the events by POST.'),
    secret: z
      .string()
      .superRefine((secret, context) => {
        const message = secretIssue(secret);
        if (message !== undefined) context.addIssue({ code: 'custom', message });
      })
      .optional()
      .describe(
        'Signs deliveries: text, or base64 after `whsec_` as Standard Webhooks has it. Give this or `secretEnv`.',
      ),
    secretEnv: z
      .string()
      .optional()
      .describe('Name of the environment variable of the worker that holds the secret.'),
    events: z
      .array(z.enum(EVENT_TYPES, `must be one of ${EVENT_TYPES.join(', ')}`))
      .min(1)
      .optional()
      .describe('Event types to send. Default: all.'),
    templates: z
      .array(z.string())
      .min(1)
      .optional()
      .describe('Templates whose events are sent. Default: all.'),
  })
  .refine(({ secret, secretEnv }) => (secret === undefined) !== (secretEnv === undefined), {
    path: ['secret'],
    error: 'give either secret or secretEnv',
  });

export const webhooksSchema = z
  .array(webhookSchema)
  .prefault([])
  .superRefine((input, context) => {
    for (const [index, { name }] of input.entries()) {
      if (input.findIndex((other) => other.name === name) === index) continue;
      const message = `"${name}" is already the name of another webhook`;
      context.addIssue({ code: 'custom', path: [index, 'name'], message });
    }
  });

/** The webhooks of the file. */
export type WebhookEntries = z.output<typeof webhooksSchema>;

/**
 * Returns the webhooks with their secrets. `secretEnv` reads a secret from the environment.
 * @throws ConfigError with every secret that is missing or invalid
 */
export function resolveWebhooks(
  entries: WebhookEntries,
  environment: Readonly<Record<string, string | undefined>>,
  what = 'The configuration',
): Webhook[] {
  const faults: Issue[] = [];
  const webhooks = entries.map((input, index): Webhook => {
    const { name, url, events, templates, secretEnv } = input;
    const secret = input.secret ?? environment[secretEnv ?? ''] ?? '';
    const issue = secretIssue(secret);
    if (issue !== undefined) {
      const detail = `the environment variable ${secretEnv ?? ''} ${issue}`;
      faults.push({ path: `webhooks.${index}.secretEnv`, detail });
    }
    return { name, url, secret, events, templates };
  });
  if (faults.length > 0) throw new ConfigError(what, faults);
  return webhooks;
}
