import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** A file of certificates or a key, read at the start. */
const pemFile = z
  .string()
  .transform((path, context) => {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
      context.addIssue({ code: 'custom', message: `${path} cannot be read (${code})` });
      return z.NEVER;
    }
  })
  .optional();

/** Where the Redis of a deployment is, and how it is spoken to. */
export const REDIS = {
  EPHEMERA_REDIS_URL: z
    .string()
    .regex(/^rediss?:\/\//, 'must be a redis:// or rediss:// address')
    .default('redis://127.0.0.1:6379/0')
    .describe(
      'The Redis of the deployment, `redis://` or with TLS `rediss://`, with user and password where it has them: `rediss://user:password@host:port/0`. What it must allow: docs/SECURITY.md.',
    ),
  EPHEMERA_REDIS_URL_FILE: z
    .string()
    .optional()
    .describe('A file with it, in its place: read at the start, and in no environment to be seen.'),
  EPHEMERA_REDIS_CA: pemFile.describe(
    "File of the authorities that a `rediss://` is checked against, PEM; the system's where unset.",
  ),
  EPHEMERA_REDIS_CERT: pemFile.describe(
    'File of the certificate that is shown to a `rediss://` which asks for one, PEM.',
  ),
  EPHEMERA_REDIS_KEY: pemFile.describe('File of its key, PEM.'),
};

/** The address that these settings stand for. */
export function redisAddressOf(input: {
  readonly EPHEMERA_REDIS_URL: string;
  readonly EPHEMERA_REDIS_CA?: string | undefined;
  readonly EPHEMERA_REDIS_CERT?: string | undefined;
  readonly EPHEMERA_REDIS_KEY?: string | undefined;
}) {
  return {
    url: input.EPHEMERA_REDIS_URL,
    tls: {
      ca: input.EPHEMERA_REDIS_CA,
      cert: input.EPHEMERA_REDIS_CERT,
      key: input.EPHEMERA_REDIS_KEY,
    },
  };
}
