import { CronExpressionParser } from 'cron-parser';
import { z } from 'zod';
import { rateText } from './access-config.ts';
import { positiveDuration } from './config-values.ts';

const NOT_CRON = 'must be a cron expression of five fields such as 50 8 * * 1-5';

/**
 * What is wrong with a cron expression; undefined if nothing is. Uses the parser that BullMQ uses,
 * and computes the next time as BullMQ does: `0 9 31 4 *` can be parsed, but has no next time.
 */
function cronIssue(text: string, tz: string): string | undefined {
  // The parser also accepts six fields (with seconds), and names such as @daily.
  if (text.trim().split(/\s+/).length !== 5) return NOT_CRON;
  // `H` is a random value for each process, so replicas would disagree.
  if (/(?<![A-Z])H(?![A-Z])/i.test(text)) return `${NOT_CRON}; H is not supported`;
  try {
    CronExpressionParser.parse(text, { tz });
  } catch (error) {
    return `${NOT_CRON} (${error instanceof Error ? error.message : String(error)})`;
  }
  try {
    CronExpressionParser.parse(text, { tz }).next();
  } catch {
    return 'never occurs: no such date exists';
  }
  return undefined;
}

const max = z.int({ error: 'must be a whole number' }).min(1, 'must be at least 1').max(1_000_000);

const schedule = z
  .strictObject({
    cron: z.string(),
    ready: z.int({ error: 'must be a whole number' }).min(1, 'must be at least 1').max(1000),
    for: positiveDuration,
    tz: z.string().prefault('UTC'),
  })
  .superRefine(({ cron, tz }, context) => {
    const knowsZone = isTimeZone(tz);
    if (!knowsZone) {
      const message = 'is not a time zone such as Europe/Paris';
      context.addIssue({ code: 'custom', path: ['tz'], message });
    }
    const message = cronIssue(cron, knowsZone ? tz : 'UTC');
    if (message !== undefined) context.addIssue({ code: 'custom', path: ['cron'], message });
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
    perOwner: max
      .optional()
      .describe(
        'Maximum number of live instances per owner. An application that embeds Ephemera names the owners; see docs/guides/embedding.md.',
      ),
    ratePerAddress: rateText
      .optional()
      .describe(
        'Maximum rate of starts per client address, such as `10/1m`. Further starts get 429.',
      ),
    ratePerToken: rateText
      .prefault('6000/1h')
      .describe(
        'Maximum rate of starts per token, such as `100/1m`, also of those by its links and of those that are refused for another reason. Further starts get 429.',
      ),
    ratePerOwner: rateText
      .optional()
      .describe(
        'Maximum rate of starts per owner that an embedding application names, such as `20/1h`. Further starts get 429.',
      ),
    changesPerToken: rateText
      .prefault('600/1m')
      .describe(
        'Maximum rate of renewals, pauses and resumes per token, such as `600/1m`. Further ones get 429.',
      ),
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
