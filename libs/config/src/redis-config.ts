import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** A file with certificates or a key, read at start-up. */
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

/** The address of Redis and its TLS options. */
export const REDIS = {
  EPHEMERA_REDIS_URL: z
    .string()
    .regex(/^rediss?:\/\//, 'must be a redis:// or rediss:// address')
    .default('redis://127.0.0.1:6379/0')
    .describe(
      'URL of the Redis server: `redis://host:port/0`, or with TLS and a user `rediss://user:password@host:port/0`. Redis needs `maxmemory-policy noeviction`. `deploy/redis.acl` lists the rights that the user needs.',
    ),
  EPHEMERA_REDIS_URL_FILE: z
    .string()
    .optional()
    .describe(
      'Path of a file that holds the value of `EPHEMERA_REDIS_URL`. Keeps the password out of the environment. Read once at start-up. Set only one of the two.',
    ),
  EPHEMERA_REDIS_CA: pemFile.describe(
    'Path of a PEM file with the certificate authorities that sign the certificate of a `rediss://` server. Default: the authorities of Node.',
  ),
  EPHEMERA_REDIS_CERT: pemFile.describe(
    'Path of a PEM file with the client certificate, if the `rediss://` server requires one.',
  ),
  EPHEMERA_REDIS_KEY: pemFile.describe(
    'Path of a PEM file with the private key of `EPHEMERA_REDIS_CERT`.',
  ),
};

/** The Redis address of these settings. */
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
