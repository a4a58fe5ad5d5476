import { STATES, isDead } from '@ephemera/domain';
import { z } from './openapi-zod.ts';

const LIVE = STATES.filter((state) => !isDead(state));

const filters = {
  state: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(LIVE, `must be among ${LIVE.join(', ')}`)))
    .optional()
    .openapi({ type: 'string', description: 'States, comma-separated.' }),
  template: z
    .string()
    .regex(/^[^,]+(?:,[^,]+)*$/, 'must be comma-separated template names')
    .transform((text) => text.split(','))
    .optional()
    .openapi({ type: 'string', description: 'Names of templates, comma-separated.' }),
  metadata: z
    .array(z.string().regex(/^[^=]+=/, 'must be key=value'))
    .max(32, 'at most 32 keys')
    .refine((pairs) => new Set(pairs.map(keyOf)).size === pairs.length, 'contains a key twice')
    .transform((pairs) => Object.fromEntries(pairs.map(splitPair)))
    .optional()
    .openapi({
      type: 'array',
      items: { type: 'string' },
      description: '`key=value`. May be repeated; an instance must match all.',
    }),
};

/** The query of `DELETE /v1/instances`. An instance must match all filters. */
export const instanceFilterSchema = z.strictObject(filters);

/** The query of `GET /v1/instances`. An instance must match all filters. */
export const listQuerySchema = z.strictObject({
  limit: z.coerce
    .number({ error: 'must be a number' })
    .int()
    .min(1)
    .max(1000)
    .default(100)
    .openapi({ description: 'Maximum number of instances per page.' }),
  cursor: z
    .string()
    .regex(/^\d{1,15}$/, 'is not a cursor of this list')
    .default('0')
    .transform(Number)
    .openapi({ type: 'string', description: '`nextCursor` of the previous page.' }),
  ...filters,
});

function keyOf(pair: string): string {
  return pair.slice(0, pair.indexOf('='));
}

function splitPair(pair: string): [string, string] {
  const key = keyOf(pair);
  return [key, pair.slice(key.length + 1)];
}
