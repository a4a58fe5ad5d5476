import { parseDuration } from '@ephemera/domain';
import { z } from 'zod';

/** The fields of a template that say who may start an instance, and who may enter it. */
export const accessFields = {
  create: z
    .enum(['open', 'token', 'link'])
    .prefault('open')
    .describe(
      'Which visitors may start one: `open`: any; `token`: who sends a token of scope `create`; `link`: those too, and who has a signed link.',
    ),
  proofOfWork: z
    .int({ error: 'must be a whole number of bits' })
    .min(0, 'must be at least 0')
    .max(28, 'must be at most 28')
    .prefault(0)
    .describe(
      'Zero bits that a visitor without token or link finds a hash with before one is started; 16 take a browser a moment, each more twice as long; 0: none. Needs EPHEMERA_SIGNING_KEYS.',
    ),
  access: z
    .enum(['public', 'token', 'owner'])
    .prefault('public')
    .describe(
      'Who may enter an instance: `public`: whoever knows its id; `token`: who has its access token, told at its creation; `owner`: only the browser, or the API client, that started it.',
    ),
};

/** So many in so many seconds. */
export interface Rate {
  readonly points: number;
  readonly seconds: number;
}

/** `10/1m`: a rate. */
export const rateText = z
  .string({ error: 'must be a rate such as 10/1m' })
  .transform((text, context): Rate => {
    const [, points = '', time = ''] = /^(\d{1,6})\/(\S+)$/.exec(text) ?? [];
    const ms = parseDuration(time);
    if (ms !== undefined && ms >= 1000 && Number(points) > 0) {
      return { points: Number(points), seconds: Math.round(ms / 1000) };
    }
    context.addIssue({ code: 'custom', message: `"${text}" is no rate such as 10/1m` });
    return z.NEVER;
  });
