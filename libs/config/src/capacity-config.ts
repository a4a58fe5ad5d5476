import { z } from 'zod';
import { rateText } from './access-config.ts';
import { positiveDuration } from './config-values.ts';

/** Five fields of digits, names, `*`, `,`, `-` and `/`. */
const CRON = /^[0-9*,/-]+(?:\s+[0-9A-Za-z*,/-]+){4}$/;

const max = z.int({ error: 'must be a whole number' }).min(1, 'must be at least 1').max(1_000_000);

const schedule = z.strictObject({
  cron: z.string().regex(CRON, 'must be five fields such as 50 8 * * 1-5'),
  ready: z.int({ error: 'must be a whole number' }).min(1, 'must be at least 1').max(1000),
  for: positiveDuration,
  tz: z.string().prefault('UTC').refine(isTimeZone, 'is no time zone such as Europe/Paris'),
});

/** The fields of a template that say how many there may be, and how many are kept ready. */
export const capacityFields = {
  maxInstances: max
    .optional()
    .describe(
      'How many may live at once, warm ones included; as many as the hosts hold where absent.',
    ),
  whenFull: z
    .enum(['queue', 'refuse'])
    .prefault('queue')
    .describe(
      'What becomes of a request where the template or the hosts are full: it waits in line, or is refused with 429.',
    ),
  maxQueued: z
    .int({ error: 'must be a whole number' })
    .min(0, 'must be at least 0')
    .max(1_000_000)
    .prefault(100)
    .describe('How many may wait in line; more are refused.'),
  queueTimeout: positiveDuration
    .prefault('10m')
    .describe('How long one may wait in line before its start has failed.'),
  pool: z
    .int({ error: 'must be a whole number' })
    .min(0, 'must be at least 0')
    .max(1000)
    .prefault(0)
    .describe('How many instances are kept started and probed ahead of their visitors.'),
  poolMaxAge: positiveDuration
    .prefault('30m')
    .describe('How long a warm instance waits for its visitor before another takes its place.'),
  schedule: z
    .array(schedule)
    .prefault([])
    .describe(
      "More warm instances at times: `[{cron: '50 8 * * 1-5', ready: 40, for: 2h, tz: Europe/Paris}]`; filling begins when the cron says.",
    ),
};

/** The field `limits` of the file: how much one client may have at once. */
export const quotasSchema = z
  .strictObject({
    perAddress: max
      .optional()
      .describe("How many instances a visitor's address may have at once; IPv6 counts by its /64."),
    perToken: max.optional().describe('How many instances a token may have at once.'),
    ratePerAddress: rateText
      .optional()
      .describe(
        "How often a visitor's address may ask for one, as `10/1m`; more is refused with 429.",
      ),
    ratePerToken: rateText.optional().describe('How often a token may, as `100/1m`.'),
  })
  .prefault({});

/** How much one client may have at once; undefined: no bound. */
export type Quotas = z.infer<typeof quotasSchema>;

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
