import { SCOPES } from '@ephemera/domain';
import { z } from 'zod';

/** The principal name of `EPHEMERA_ADMIN_TOKEN`. */
export const ADMIN_TOKEN_NAME = 'admin';

const hash = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hex digits; see: ephemera token');

/** One token of the file. */
export const tokenSchema = z.strictObject({
  hash: z
    .union([hash, z.array(hash).min(1).max(8)], 'must be a hash or a list of hashes')
    .transform((input) => [input].flat())
    .describe(
      'Output of `ephemera token NAME`: `sha256:` and 64 hexadecimal digits. Every hash of a list is valid, so that a token can be rotated without downtime.',
    ),
  scopes: z
    .array(z.enum(SCOPES, `must be one of ${SCOPES.join(', ')}`))
    .min(1, 'must have at least one scope')
    .describe(
      '`read`: read everything. `create`: start instances, and read, renew, pause, resume and end the instances of this token. `exec`: with `create`, run commands in the instances of this token, where the template has `exec: owner`. `admin`: everything.',
    ),
});

/** The field `tokens` of the file: the tokens of the control API by name. */
export const tokensSchema = z
  .record(
    z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,40}$/, 'names are lowercase letters, digits and hyphens')
      .refine((name) => name !== ADMIN_TOKEN_NAME, 'is the name of EPHEMERA_ADMIN_TOKEN'),
    tokenSchema,
  )
  .prefault({});

/** Tokens by name, with their hashes. */
export type TokenEntries = z.infer<typeof tokensSchema>;
