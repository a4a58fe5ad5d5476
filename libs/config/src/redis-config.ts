import { readFileSync } from 'node:fs';
import { redisUrlIssue } from '@ephemera/domain';
import type { RedisAddress } from '@ephemera/domain';
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

/** The address of Redis, its TLS options, and the access to its sentinels. */
export const REDIS = {
  EPHEMERA_REDIS_URL: z
    .string()
    .superRefine((url, context) => {
      const issue = redisUrlIssue(url);
      if (issue !== undefined) context.addIssue({ code: 'custom', message: issue });
    })
    .default('redis://127.0.0.1:6379/0')
    .describe(
      'URL of the Redis server: `redis://host:port/0`, or with TLS and a user `rediss://user:password@host:port/0`. With Sentinel: `redis-sentinel://user:password@host1:26379,host2:26379,host3:26379/MASTER/0`, where user and password are those of the data nodes; `rediss-sentinel://` uses TLS to the data nodes. Escape special characters in user and password (`@` is `%40`). Redis needs `maxmemory-policy noeviction`. `deploy/redis.acl` lists the rights that the user needs.',
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
  EPHEMERA_REDIS_SENTINEL_USER: z
    .string()
    .optional()
    .describe('User for the sentinels, if their default user has no access.'),
  EPHEMERA_REDIS_SENTINEL_PASSWORD: z
    .string()
    .optional()
    .describe(
      'Password for the sentinels. The password in `EPHEMERA_REDIS_URL` is that of the data nodes.',
    ),
  EPHEMERA_REDIS_SENTINEL_PASSWORD_FILE: z
    .string()
    .optional()
    .describe(
      'Path of a file that holds the value of `EPHEMERA_REDIS_SENTINEL_PASSWORD`. Set only one of the two.',
    ),
  EPHEMERA_REDIS_SENTINEL_TLS: z
    .enum(['on', 'off'])
    .optional()
    .describe(
      'Whether the sentinels use TLS. Default: `on` with `rediss-sentinel://`, otherwise `off`.',
    ),
  EPHEMERA_REDIS_SENTINEL_CA: pemFile.describe(
    'As `EPHEMERA_REDIS_CA`, for the sentinels. Default: `EPHEMERA_REDIS_CA`.',
  ),
  EPHEMERA_REDIS_SENTINEL_CERT: pemFile.describe(
    'As `EPHEMERA_REDIS_CERT`, for the sentinels. Default: `EPHEMERA_REDIS_CERT`.',
  ),
  EPHEMERA_REDIS_SENTINEL_KEY: pemFile.describe(
    'As `EPHEMERA_REDIS_KEY`, for the sentinels. Default: `EPHEMERA_REDIS_KEY`.',
  ),
};

type RedisSettings = z.infer<z.ZodObject<typeof REDIS>>;

/** The Redis address of these settings. */
export function redisAddressOf(input: RedisSettings): RedisAddress {
  const { EPHEMERA_REDIS_URL: url } = input;
  const tls = {
    ca: input.EPHEMERA_REDIS_CA,
    cert: input.EPHEMERA_REDIS_CERT,
    key: input.EPHEMERA_REDIS_KEY,
  };
  const isTls =
    (input.EPHEMERA_REDIS_SENTINEL_TLS ?? (url.startsWith('rediss-') ? 'on' : 'off')) === 'on';
  const ownCertificate = input.EPHEMERA_REDIS_SENTINEL_CERT !== undefined;
  return {
    url,
    tls,
    sentinel: {
      username: input.EPHEMERA_REDIS_SENTINEL_USER,
      password: input.EPHEMERA_REDIS_SENTINEL_PASSWORD,
      ...(isTls && {
        tls: {
          ca: input.EPHEMERA_REDIS_SENTINEL_CA ?? tls.ca,
          // A certificate and its key belong together.
          cert: ownCertificate ? input.EPHEMERA_REDIS_SENTINEL_CERT : tls.cert,
          key: ownCertificate ? input.EPHEMERA_REDIS_SENTINEL_KEY : tls.key,
        },
      }),
    },
  };
}
