import { CronExpressionParser } from 'cron-parser';
import { z } from 'zod';
import { rateText } from './access-config.ts';
import { positiveDuration } from './config-values.ts';

/** Uses the parser of BullMQ. It also accepts six fields (with seconds), which are refused here. */
function isCron(text: string): boolean {
  try {
    CronExpressionParser.parse(text);
  } catch {
    return false;
  }
  // `H` is a random value for each process, so replicas would disagree.
  return text.trim().split(/\s+/).length === 5 && !/(?<![A-Z])H(?![A-Z])/i.test(text);
}

const max = z.int({ error: 'must be a whole number' }).min(1, 'must be at least 1').max(1_000_000);

const schedule = z.strictObject({
  cron: z.string().refine(isCron, 'must be a cron expression of five fields such as 50 8 * * 1-5'),
  ready: z.int({ error: 'must be a whole number' }).min(1, 'must be at least 1').max(1000),
  for: positiveDuration,
  tz: z.string().prefault('UTC').refine(isTimeZone, 'is not a time zone such as Europe/Paris'),
});

/** Template fields for the number of instances: limits, start queue and pool. */
export const capacityFields = {
  maxInstances: max
    .optional()
    .describe(
      'Maximum number of instances of this template, warm ones included. Default: only the hosts limit it.',
    ),
  whenFull: z
    .enum(['queue', 'refuse'])
    .prefault('queue')
    .describe(
      'What happens to a start when the template or the hosts are full. `queue`: it waits in the start queue. `refuse`: 429.',
    ),
  maxQueued: z
    .int({ error: 'must be a whole number' })
    .min(0, 'must be at least 0')
    .max(1_000_000)
    .prefault(100)
    .describe('Maximum length of the start queue. Further starts get 429.'),
  queueTimeout: positiveDuration
    .prefault('10m')
    .describe('Maximum time in the start queue. After that the start fails.'),
  pool: z
    .int({ error: 'must be a whole number' })
    .min(0, 'must be at least 0')
    .max(1000)
    .prefault(0)
    .describe('Number of warm instances: started, probed and not yet claimed.'),
  poolMaxAge: positiveDuration
    .prefault('30m')
    .describe('Maximum age of a warm instance. A new one replaces it.'),
  schedule: z
    .array(schedule)
    .prefault([])
    .describe(
      "Larger pools at certain times: `[{cron: '50 8 * * 1-5', ready: 40, for: 2h, tz: Europe/Paris}]`. The pool begins to fill at the time of `cron` and keeps `ready` warm instances for the time in `for`.",
    ),
};

/** The field `limits` of the file: quotas of one client. */
export const quotasSchema = z
  .strictObject({
    perAddress: max
      .optional()
      .describe(
        'Maximum number of live instances per client address. IPv6 addresses count by their /64.',
      ),
    perToken: max.optional().describe('Maximum number of live instances per token.'),
    ratePerAddress: rateText
      .optional()
      .describe(
        'Maximum rate of starts per client address, such as `10/1m`. Further starts get 429.',
      ),
    ratePerToken: rateText
      .optional()
      .describe('Maximum rate of starts per token, such as `100/1m`. Further starts get 429.'),
  })
  .prefault({});

/** Quotas of one client. Undefined: unlimited. */
export type Quotas = z.infer<typeof quotasSchema>;

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
