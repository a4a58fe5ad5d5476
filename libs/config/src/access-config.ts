import { parseDuration } from '@ephemera/domain';
import { z } from 'zod';

/** Template fields for access: who may start an instance, and who can reach it. */
export const accessFields = {
  create: z
    .enum(['open', 'token', 'link'])
    .prefault('open')
    .describe(
      'Who may start an instance at `/{prefix}/new`. `open`: every visitor. `token`: clients that send a token with the scope `create`. `link`: those clients, and visitors with a signed link.',
    ),
  proofOfWork: z
    .int({ error: 'must be a whole number of bits' })
    .min(0, 'must be at least 0')
    .max(28, 'must be at most 28')
    .prefault(0)
    .describe(
      'Difficulty of the proof of work for visitors without a token or a link, in leading zero bits of a SHA-256 hash. 16 takes a browser a moment; each further bit doubles the time. 0 disables it. Requires `EPHEMERA_SIGNING_KEYS`.',
    ),
  access: z
    .enum(['public', 'token', 'owner'])
    .prefault('public')
    .describe(
      'Who may open an instance. `public`: everyone who knows its id. `token`: clients with its access token, which the creation response contains. `owner`: only the browser or the API client that started it.',
    ),
};

/** `points` events within `seconds`. */
export interface Rate {
  readonly points: number;
  readonly seconds: number;
}

/** Parses a rate such as `10/1m`. */
export const rateText = z
  .string({ error: 'must be a rate such as 10/1m' })
  .transform((text, context): Rate => {
    const [, points = '', time = ''] = /^(\d{1,6})\/(\S+)$/.exec(text) ?? [];
    const ms = parseDuration(time);
    if (ms !== undefined && ms >= 1000 && Number(points) > 0) {
      return { points: Number(points), seconds: Math.round(ms / 1000) };
    }
    context.addIssue({ code: 'custom', message: `"${text}" is not a rate such as 10/1m` });
    return z.NEVER;
  });
