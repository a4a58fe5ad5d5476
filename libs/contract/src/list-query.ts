import { STATES, isDead } from '@ephemera/domain';
import { z } from './openapi-zod.ts';

const LIVE = STATES.filter((state) => !isDead(state));

/** The query of `GET /v1/instances`; only what all of its filters admit is listed. */
export const listQuerySchema = z.strictObject({
  limit: z.coerce.number({ error: 'must be a number' }).int().min(1).max(1000).default(100),
  cursor: z
    .string()
    .regex(/^\d{1,15}$/, 'is no cursor that a list has given')
    .default('0')
    .transform(Number),
  state: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(LIVE, `must be among ${LIVE.join(', ')}`)))
    .optional()
    .openapi({ type: 'string', description: 'States of the living, with commas.' }),
  template: z
    .string()
    .transform((text) => text.split(','))
    .optional()
    .openapi({ type: 'string', description: 'Names of templates, with commas.' }),
  metadata: z
    .array(z.string().regex(/^[^=]+=/, 'must be key=value'))
    .max(32, 'at most 32 keys')
    .transform((pairs) => Object.fromEntries(pairs.map(splitPair)))
    .optional()
    .openapi({
      type: 'array',
      items: { type: 'string' },
      description: '`key=value`; given several times, all must be so.',
    }),
});

function splitPair(pair: string): [string, string] {
  const cut = pair.indexOf('=');
  return [pair.slice(0, cut), pair.slice(cut + 1)];
}

/** The query as the schema reads it: `metadata` may be given several times, all else once. */
export function listQueryOf(input: URLSearchParams): Record<string, string | string[]> {
  const metadata = input.getAll('metadata');
  return { ...Object.fromEntries(input), ...(metadata.length > 0 && { metadata }) };
}
