import { readFileSync } from 'node:fs';
import { EVENT_TYPES } from '@ephemera/domain';
import type { Issue, Webhook } from '@ephemera/domain';
import { z } from 'zod';
import { ConfigError } from './environment.ts';
import { readYaml } from './yaml-text.ts';

/** One webhook as it stands in the file. */
export const webhookSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,40}$/, 'names are lowercase letters, digits and hyphens')
      .describe('Names it in jobs and logs; no two are named alike.'),
    url: z
      .url({ protocol: /^https?$/, error: 'must be an http:// or https:// address' })
      .describe('Where events are sent by POST.'),
    secret: z
      .string()
      .min(16, 'must have at least 16 characters')
      .optional()
      .describe('Signs what is sent; give this or `secretEnv`.'),
    secretEnv: z
      .string()
      .optional()
      .describe('The variable in the environment of the workers that holds the secret.'),
    events: z
      .array(z.enum(EVENT_TYPES, `must be one of ${EVENT_TYPES.join(', ')}`))
      .min(1)
      .optional()
      .describe('Which events are sent; all where absent.'),
    templates: z
      .array(z.string())
      .min(1)
      .optional()
      .describe('Of the instances of which templates; of all where absent.'),
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
      const message = `"${name}" names another webhook already`;
      context.addIssue({ code: 'custom', path: [index, 'name'], message });
    }
  });

const fileSchema = z.looseObject({ webhooks: webhooksSchema });

/**
 * Reads the webhooks from YAML text, with their secrets from the environment where they say so.
 * @throws ConfigError with every fault and its dotted path
 */
export function parseWebhooks(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
  what = 'The configuration',
): Webhook[] {
  const data = readYaml(text, fileSchema, what);
  const faults: Issue[] = [];
  const webhooks = data.webhooks.map((input, index): Webhook => {
    const { name, url, events, templates, secretEnv } = input;
    const secret = input.secret ?? environment[secretEnv ?? ''] ?? '';
    if (secret.length < 16) {
      const detail = `the variable ${secretEnv ?? ''} must hold at least 16 characters`;
      faults.push({ path: `webhooks.${index}.secretEnv`, detail });
    }
    return { name, url, secret, events, templates };
  });
  if (faults.length > 0) throw new ConfigError(what, faults);
  return webhooks;
}

/** Reads the webhooks from a file; none where there is no such file: a worker needs no other. */
export function loadWebhooks(
  path: string,
  environment: Readonly<Record<string, string | undefined>>,
): Webhook[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    if (code === 'ENOENT') return [];
    throw new ConfigError(path, [{ path: '', detail: `cannot be read (${code})` }]);
  }
  return parseWebhooks(text, environment, path);
}
