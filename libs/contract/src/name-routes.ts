import {
  namedInstanceSchema,
  nameListQuerySchema,
  namePageSchema,
  nameParameter,
  nameSchema,
  putNameSchema,
} from './name-resource.ts';
import { z } from './openapi-zod.ts';
import { defineRoute, json, problem } from './route.ts';

const item = {
  params: z.object({ name: nameParameter }),
  absent: 'name like this',
} as const;

const ifMatch = z
  .string()
  .regex(/^(?:\*|"\d{1,16}")$/, 'must be * or one strong ETag of a name')
  .optional()
  .openapi({ description: 'Only if the name has this `ETag`; `*`: only if it exists.' });

const CONDITION_FAILED = 'The name is not as `If-Match` or `If-None-Match` requires';

/** `/v1/names`: stable names, which lead to one instance after another. */
export const nameRoutes = {
  putName: defineRoute({
    method: 'PUT',
    path: '/v1/names/{name}',
    summary: 'Start an instance under a stable name, or replace the one that has it',
    description:
      'The name leads to the new instance as soon as that one is ready. Until then the instance before it serves, and afterwards for `drain` seconds more. If the start fails, the name stays where it is. A warm instance is never used.',
    token: true,
    ...item,
    headers: z.object({
      prefer: z
        .string()
        .optional()
        .openapi({ description: '`wait=N`: wait up to N seconds until the instance is ready.' }),
      'idempotency-key': z
        .string()
        .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 visible ASCII characters, given once')
        .optional()
        .openapi({
          description:
            'The same key with the same body starts one instance, and returns it for 24 hours. With signing keys, also its access token.',
        }),
      'if-match': ifMatch,
      'if-none-match': z
        .literal('*')
        .optional()
        .openapi({ description: '`*`: only if the name does not exist.' }),
    }),
    body: { type: 'json', schema: putNameSchema, limit: 262_144 },
    responses: {
      201: json(namedInstanceSchema, 'The name leads to the new instance, which is ready'),
      202: json(
        namedInstanceSchema,
        'The new instance is starting or queued, or the name leads to another one',
      ),
      400: problem(
        'Unknown template, invalid timeout, unknown field, broken JSON, or a name that is the host of `EPHEMERA_PUBLIC_URL`',
      ),
      412: problem(CONDITION_FAILED),
      422: problem('The `Idempotency-Key` was used with another body'),
      429: problem(
        'A capacity limit (named in `limit`) or a rate limit is exceeded; `Retry-After` says when to try again',
      ),
      502: problem('The start failed (only with `Prefer: wait`)'),
    },
  }),
  listNames: defineRoute({
    method: 'GET',
    path: '/v1/names',
    summary: 'List the stable names, in alphabetical order',
    token: true,
    query: nameListQuerySchema,
    responses: { 200: json(namePageSchema, 'One page of names') },
  }),
  readName: defineRoute({
    method: 'GET',
    path: '/v1/names/{name}',
    summary: 'Read a stable name with its instance',
    token: true,
    ...item,
    responses: { 200: json(nameSchema, 'The name') },
  }),
  deleteName: defineRoute({
    method: 'DELETE',
    path: '/v1/names/{name}',
    summary: 'Forget a stable name and end its instances',
    token: true,
    ...item,
    headers: z.object({ 'if-match': ifMatch }),
    responses: {
      204: { description: 'The name is forgotten, and its instances are ending' },
      412: problem(CONDITION_FAILED),
    },
  }),
} as const;
